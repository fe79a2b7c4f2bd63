/**
 * Mistakes in bringing groups by a broker to the store, each put into a port on purpose as those in
 * `bugs.ts` are.
 */
import type { ForwardingParts } from "../../src/forwarding/forwarding_half.ts";
import type { Broker } from "../../src/parts.ts";
import type { EntryGroup, GroupStore } from "../../src/ports/group_store.ts";
import type { GroupSource } from "../../src/ports/group_source.ts";
import type { JournalPorts } from "../../src/service_parts.ts";
import type { Random } from "../support/random.ts";
import type { Bug } from "./bugs.ts";
import type { SimulatedBroker } from "./broker.ts";
import type { SimulatedStore } from "./store.ts";

export function buggyGroups(
  source: GroupSource,
  random: Random,
  bug: Bug | undefined,
): GroupSource {
  if (bug !== "intervals-cut-anew") return source;
  // Whoever reads the same bytes again finds other bounds in them.
  let rest: EntryGroup | undefined;
  return {
    restart: (marks) => {
      rest = undefined;
      source.restart(marks);
    },
    take: async () => {
      const group = rest ?? await source.take();
      rest = undefined;
      if (group === undefined || group.entries.length < 2 || random.chance(0.5)) return group;
      const [head, second] = group.entries;
      rest = { ...group, first: second!.seq, entries: group.entries.slice(1) };
      return { ...group, last: second!.seq - 1, entries: [head!] };
    },
  };
}

export function buggyGroupStore(
  groups: GroupStore,
  server: SimulatedStore,
  bug: Bug | undefined,
): GroupStore {
  const { fold, apply, dead } = groups;
  switch (bug) {
    case "mark-read-before-insert":
      // What is there is looked up in one transaction, and what is not is inserted by another.
      return {
        ...{ fold, dead },
        apply: async (brought) => {
          const fresh = brought.filter((group) => !server.groups.has(group));
          await apply([]);
          for (const group of fresh) {
            server.tables.insertWhatGoesIn(group.source, group.entries);
            if (!server.groups.has(group)) server.groups.note(group);
          }
          return await apply(brought);
        },
      };
    case "group-applied-without-row":
      return {
        ...{ fold, dead },
        apply: (brought) =>
          apply(brought.map((group) => ({ ...group, entries: group.entries.slice(0, -1) }))),
      };
    default:
      return groups;
  }
}

export function buggyEnds(ends: Broker, bug: Bug | undefined): Broker {
  if (bug !== "replicated-before-confirm") return ends;
  return {
    ...ends,
    makePublisher: (watcher) => {
      const publisher = ends.makePublisher(watcher);
      return {
        ...publisher,
        // What was sent is taken for what has arrived.
        publish: (message) => {
          publisher.publish(message).catch(() => {});
          return Promise.resolve();
        },
      };
    },
  };
}

interface Surroundings {
  readonly broker: SimulatedBroker | undefined;
  readonly bug: Bug | undefined;
}

export function buggyForwarding(
  parts: ForwardingParts | undefined,
  { run }: Pick<JournalPorts, "run">,
  { broker, bug }: Surroundings,
): ForwardingParts | undefined {
  const takesConfirmed = bug === "forwarded-taken-for-stored" || bug === "settled-by-confirm";
  if (parts === undefined || broker === undefined || !takesConfirmed) return parts;
  // What the broker has confirmed is taken for what the store has …
  const isConfirmedEnough = (source: string) =>
    // … or only what it confirmed to an earlier run.
    bug === "forwarded-taken-for-stored" || source !== run;
  return {
    ...parts,
    store: {
      marks: async (sources) => {
        const marks = await parts.store.marks(sources);
        return new Map(
          sources.map((source) => {
            const mark = marks.get(source) ?? 0;
            const confirmed = isConfirmedEnough(source) ? broker.confirmedThrough(source) : 0;
            return [source, Math.max(mark, confirmed)];
          }),
        );
      },
    },
  };
}
