/** Shows what has rows: routes, tiers, what it depends on, instances, reasons of dead letters. */
import type { Snapshot } from "../snapshot.ts";
import { byId, type Cell, fillTable, setText } from "./dom.ts";
import { count, milliseconds, moment, percent, perSecond, seconds } from "./wording.ts";

const TIERS: Readonly<Record<string, string>> = {
  pending: "pending writes",
  local: "memory of the process",
  redis: "Redis",
  store: "the store",
  stale: "the last answer known",
  none: "nobody: not found",
};

const BREAKERS: Readonly<Record<string, string>> = {
  store: "Writes to the store",
  "store-reads": "Reads of the store",
  cache: "Cache",
};

export function showTables(snapshot: Snapshot): void {
  showRequests(snapshot);
  showTiers(snapshot);
  showParts(snapshot);
  showInstances(snapshot);
  showReasons(snapshot);
}

function number(text: string, className = ""): Cell {
  return { text, className: `number ${className}`.trim() };
}

function showRequests({ requests }: Snapshot): void {
  const rows = requests.filter(({ perSecond }) => perSecond > 0).map((it) => [
    { text: it.route },
    number(perSecond(it.perSecond)),
    number(milliseconds(it.p50Ms)),
    number(milliseconds(it.p99Ms)),
    number(perSecond(it.failedPerSecond), it.failedPerSecond > 0 ? "problem" : ""),
  ]);
  fillTable("requests", rows, "No request in the last seconds.");
}

function showTiers({ readsBySource }: Snapshot): void {
  const all = Object.values(readsBySource).reduce((total, rate) => total + rate, 0);
  const rows = Object.entries(readsBySource).map(([tier, rate]) => [
    { text: TIERS[tier] ?? tier },
    number(perSecond(rate)),
    number(percent(all === 0 ? null : rate / all)),
  ]);
  fillTable("tiers", rows, "No read in the last seconds.");
}

function showParts({ instance, breakers, broker }: Snapshot): void {
  const rows: Cell[][] = [
    [{ text: "Store" }, { text: instance.store }],
    [{ text: "Cache" }, { text: instance.cache }],
    [{ text: "Queue" }, { text: instance.queue }],
    ...Object.entries(breakers).map(([name, state]) => [
      { text: `Breaker: ${BREAKERS[name] ?? name}` },
      { text: state, className: state === "closed" ? "well" : "problem" },
    ]),
  ];
  if (broker !== null) {
    const failed = broker.failedPerSecond > 0
      ? `, ${perSecond(broker.failedPerSecond)} failed`
      : "";
    rows.push([
      { text: `Broker: ${broker.kind}` },
      {
        text: `${perSecond(broker.confirmedPerSecond)} messages a second confirmed${failed}, ` +
          `${perSecond(broker.appliedPerSecond)} applied`,
        className: failed === "" ? "" : "problem",
      },
    ]);
  }
  fillTable("parts", rows, "");
}

function showInstances({ instances, leader }: Snapshot): void {
  const since = leader.sinceMs === null ? "" : ` since ${moment(leader.sinceMs)}`;
  const who = leader.leads ? "This instance leads" : `${leader.name} leads`;
  setText(
    byId("leader", HTMLElement),
    !leader.leads && leader.name === null ? "Nobody is known to lead." : `${who}${since}.`,
  );
  const rows = instances.map((it) => [
    { text: it.leads ? `${it.name} (leads)` : it.name },
    { text: it.role },
    { text: it.text, className: it.level },
    number(perSecond(it.writesPerSecond)),
    number(perSecond(it.readsPerSecond)),
    number(count(it.queueDepth)),
    number(seconds(it.oldestAgeSeconds)),
  ]);
  fillTable("instances", rows, "None was heard of.");
}

function showReasons({ deadLetters }: Snapshot): void {
  const { count: many, reasons } = deadLetters;
  setText(
    byId("letters-count", HTMLElement),
    many === null
      ? "The store cannot be asked for them now."
      : many === 0
      ? "There are none."
      : `${count(many)} ${many === 1 ? "write was" : "writes were"} refused by the database.`,
  );
  const rows = reasons.map(({ code, count: of }) => [{ text: code }, number(count(of))]);
  fillTable("reasons", rows, "None.");
}
