/**
 * A cache server that keeps the promises of its port, and forgets everything when it feels like it.
 * Its clients keep local copies by the rules of the real adapter; the server's word of a change
 * comes late, on a channel of its own, which may break.
 */
import {
  LocalCopies,
  type Reply,
  type TrackedCache,
  withLocalCopies,
} from "../../src/adapters/redis/local_copies.ts";
import { compareVersions, type Entry, type Version } from "../../src/domain.ts";
import {
  type Cache,
  CACHE_LATE_EFFECT_MS,
  type CachedEntry,
  type FillToken,
} from "../../src/ports/cache.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { Identity } from "../../src/ports/store_identity.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

interface Held {
  readonly cached: CachedEntry;
  readonly namespace: string;
  readonly expiresMs: number;
}

/** A forget leaves it. */
interface Guard {
  readonly atLeast: Version;
  readonly namespace: string;
  readonly untilMs: number;
}

const GUARD_MS = 10_000;
/** What is evicted goes within this time. */
const EVICTED_MS = 800;
/** Each time, the fence goes as well. */
const FENCE_EVICTED = 0.1;
const NOBODYS = "nobody knows yet whose copies these are";
/** What the program promises of copies in other processes: Redis's word comes within a second. */
const INVALIDATION_LATE_MS = 1_000;
/** Of each change: the channel to a client breaks instead. */
const CHANNEL_BREAKS = 0.01;
const LOCAL_LIMITS = { maxEntries: 100, maxBytes: 1_000_000 };

/** One client's side of the channel. */
interface Channel {
  readonly process: Process;
  readonly copies: LocalCopies;
  /** Users of whom the server will tell. */
  readonly tracked: Set<string>;
  /** Nothing is told any more, and the client has not noticed. */
  broken: boolean;
}

interface ClientOptions {
  readonly namespace: () => string | undefined;
  readonly clock: Pick<Clock, "monotonicMs">;
  /**
   * A planted bug: an own update leaves the local copy of its user, until the server's word of it
   * comes.
   */
  readonly keepsCopiesOfUpdated?: boolean;
  /** A planted bug: what look-ups found before an update is not kept out. */
  readonly renewsNoFence?: boolean;
}

/** Copies of this store, and of this generation, have this name. */
export function cacheNameOf({ id, cacheGeneration }: Identity): string {
  return `${id.slice(0, 8)}.${cacheGeneration}`;
}

export class SimulatedCache extends SimulatedServer {
  /** Answers reads, and refuses whatever would change it. */
  readOnly = false;
  readonly #guards = new Map<string, Guard>();
  readonly #copies = new Map<string, Held>();
  /** Fills are compared with it; undefined while there is none. */
  #fence: number | undefined;
  #lastFence = 0;
  readonly #channels = new Set<Channel>();
  /** Of this run: how late the server's word may be. */
  readonly #lateMs: number;
  /** Of this run: of what the store has, users of whom nothing is held are left out. */
  readonly #leavesOut: boolean;
  /** Of this run: it has less room than there are copies. */
  readonly #evicts: boolean;

  /** @param deadlineMs of a call; default: the program's */
  constructor(world: World, private readonly ttlMs: number, deadlineMs = 250) {
    super(world, "cache", 0.4, deadlineMs, true);
    this.#lateMs = world.random.pick([1, 50, INVALIDATION_LATE_MS]);
    this.#leavesOut = world.random.chance(0.5);
    this.#evicts = world.random.chance(0.5);
  }

  client(process: Process, options: ClientOptions): Cache {
    const { namespace, clock, keepsCopiesOfUpdated = false, renewsNoFence = false } = options;
    const copies = new LocalCopies(LOCAL_LIMITS, this.ttlMs, namespace, clock);
    const channel: Channel = { process, copies, tracked: new Set(), broken: false };
    this.#channels.add(channel);
    const remote = this.#remote(channel, namespace, renewsNoFence);
    const cache = withLocalCopies(remote, copies);
    return keepsCopiesOfUpdated ? { ...cache, update: (...what) => remote.update(...what) } : cache;
  }

  /** As the real adapter: after a call that failed, nothing is sure of what was read before it. */
  #remote(
    channel: Channel,
    namespace: () => string | undefined,
    renewsNoFence: boolean,
  ): TrackedCache {
    const { process, copies } = channel;
    const call = <T>(what: string, work: () => T) =>
      this.call(process, what, work).catch((error) => {
        copies.clear();
        throw error;
      });
    const read = (userId: string) => {
      const epoch = namespace();
      return call("get", (): Reply => {
        if (!channel.broken) channel.tracked.add(userId);
        return { found: this.#get(userId, epoch), epoch };
      });
    };
    const change = <T>(what: string, work: (name: string) => T) => {
      const notAfterMs = this.world.nowMs + CACHE_LATE_EFFECT_MS;
      const name = namespace();
      return call(what, () => {
        if (name === undefined) throw new Error(NOBODYS);
        if (this.world.nowMs > notAfterMs) throw new Error("the set came too late");
        this.#refuseReadOnly();
        return work(name);
      });
    };
    return {
      tracks: true,
      read,
      get: async (userId) => (await read(userId)).found,
      update: (entries, areStored = false) =>
        change(`set ${entries.length}`, (name) => {
          if (areStored && !renewsNoFence) this.#renewFence();
          const leavesOut = areStored && this.#leavesOut;
          this.#set(leavesOut ? this.#held(entries) : entries, false, name);
        }),
      token: () => call("token", () => this.token()),
      fill: (entries, token) =>
        change(`fill ${entries.length}`, (name) => this.#fill(entries, token, name)),
      forget: (userId, atLeast) => {
        const name = namespace();
        return call("forget", () => {
          this.#refuseReadOnly();
          if (atLeast !== undefined && !renewsNoFence) this.#renewFence();
          this.#forget(userId, atLeast, name);
          if (atLeast !== undefined && name === undefined) throw new Error(NOBODYS);
        });
      },
      close: () => Promise.resolve(),
    };
  }

  /** FLUSHALL, a restart, or a failover, after which nothing from before is answered any more. */
  flush(): void {
    this.#fence = undefined;
    this.#copies.clear();
    this.#guards.clear();
    for (const channel of this.#channels) this.#break(channel);
  }

  /** Tells those who read the user that something changed, some time later. */
  #tellOf(userId: string): void {
    for (const channel of this.#channels) {
      const { process, tracked, copies } = channel;
      if (!process.alive) {
        this.#channels.delete(channel);
        continue;
      }
      if (!tracked.delete(userId)) continue;
      if (this.world.random.chance(CHANNEL_BREAKS)) {
        this.#break(channel);
        continue;
      }
      this.world.after(
        this.world.random.between(0, this.#lateMs),
        "cache tells of a change",
        () => process.alive && copies.forget(userId),
      );
    }
  }

  /** What changes is not told any more, until the client notices and begins anew. */
  #break(channel: Channel): void {
    const { process, tracked, copies } = channel;
    if (channel.broken || !process.alive) return;
    this.world.fault("cache channel broke");
    tracked.clear();
    channel.broken = true;
    this.world.after(
      this.world.random.between(0, this.#lateMs),
      "a broken channel is noticed",
      () => {
        channel.broken = false;
        if (process.alive) copies.clear();
      },
    );
  }

  /** Returns the entries of whose users something is held. */
  #held(entries: readonly Entry[]): Entry[] {
    return entries.filter(({ userId }) => {
      const isHeld = (this.#copies.get(userId)?.expiresMs ?? 0) > this.world.nowMs;
      if (!isHeld) this.world.fault("cache left out");
      return isHeld;
    });
  }

  #renewFence(): void {
    this.#fence = ++this.#lastFence;
  }

  /** Returns the fence, which is another one than ever when it was lost. */
  token(): FillToken {
    if (this.#fence === undefined) this.#renewFence();
    return String(this.#fence);
  }

  #fill(entries: readonly Entry[], token: FillToken, namespace: string): boolean {
    if (token !== String(this.#fence)) {
      this.world.fault("cache refused a fill");
      return false;
    }
    this.#set(entries, true, namespace);
    return true;
  }

  #forget(userId: string, atLeast: Version | undefined, namespace: string | undefined): void {
    const present = this.#copies.get(userId);
    this.#copies.delete(userId);
    this.#tellOf(userId);
    if (atLeast === undefined || namespace === undefined) return;
    const next = { ...atLeast, seq: atLeast.seq + 1 };
    const versions: Version[] = [
      next,
      ...present?.namespace === namespace ? [present.cached.entry] : [],
    ];
    const guard = this.#guards.get(userId);
    if (guard?.namespace === namespace && guard.untilMs > this.world.nowMs) {
      versions.push(guard.atLeast);
    }
    versions.sort(compareVersions);
    this.#guards.set(userId, {
      atLeast: versions.at(-1)!,
      namespace,
      untilMs: this.world.nowMs + GUARD_MS,
    });
  }

  /** An instance that knows `namespace` fills in what it found in the store. */
  fillFromElsewhere(entry: Entry, token: FillToken, namespace: string): void {
    if (!this.readOnly) this.#fill([entry], token, namespace);
  }

  /** There is no room. */
  #evictLater(userId: string, held: Held): void {
    this.world.after(this.world.random.between(0, EVICTED_MS), "evicted", () => {
      if (this.#copies.get(userId) !== held) return;
      this.#copies.delete(userId);
      if (this.world.random.chance(FENCE_EVICTED)) this.#fence = undefined;
      this.#tellOf(userId);
    });
  }

  /** What an instance that knows `namespace` is told. */
  complete(userId: string, namespace: string): Entry | undefined {
    const held = this.#get(userId, namespace);
    return held?.complete ? held.entry : undefined;
  }

  #refuseReadOnly(): void {
    if (!this.readOnly) return;
    this.world.fault("cache read-only");
    throw new Error("READONLY You can't write against a read only replica");
  }

  #get(userId: string, namespace: string | undefined): CachedEntry | undefined {
    const held = this.#copies.get(userId);
    if (held === undefined || held.namespace !== namespace) return undefined;
    return held.expiresMs > this.world.nowMs ? held.cached : undefined;
  }

  #set(entries: readonly Entry[], complete: boolean, namespace: string): void {
    const expiresMs = this.world.nowMs + this.ttlMs;
    for (const entry of entries) {
      const guard = this.#guards.get(entry.userId);
      const isGuarded = guard?.namespace === namespace && guard.untilMs > this.world.nowMs;
      if (isGuarded && compareVersions(entry, guard.atLeast) < 0) continue;
      const present = this.#get(entry.userId, namespace);
      const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
      if (isOlder && !complete) continue;
      const cached: CachedEntry = {
        entry: isOlder ? present.entry : entry,
        complete: complete || present?.complete === true,
        source: "redis",
      };
      this.world.trace(
        `cache has ${cached.entry.value.split(":")[0]} ${
          cached.complete ? "complete" : "incomplete"
        }`,
      );
      const held: Held = { cached, namespace, expiresMs };
      this.#copies.set(entry.userId, held);
      if (this.#evicts) this.#evictLater(entry.userId, held);
      this.#tellOf(entry.userId);
    }
  }
}
