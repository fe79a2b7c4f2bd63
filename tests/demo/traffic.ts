/**
 * Traffic as an application would make it: more reads than writes, a few users who come often and
 * many who come seldom, in waves.
 */
import { delay } from "../support/services.ts";

const USERS = 400;
const TICK_MS = 50;
const WAVE_MS = 40_000;
/** So many a second at the height of a wave. */
const RATE = { writes: 60, reads: 180 };
const LIMIT_MS = 10_000;
const PAGES = ["start", "search", "basket", "checkout", "orders", "profile"];

export class Traffic {
  #running: Promise<void> | undefined;
  #isStopping = false;
  /** Requests that got no answer, as the service was away. */
  unanswered = 0;

  constructor(private readonly url: string) {}

  start(): void {
    this.#isStopping = false;
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
    this.#running = undefined;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      const height = 0.6 + 0.4 * Math.sin(Date.now() / WAVE_MS * 2 * Math.PI);
      const [writes, reads] = [RATE.writes, RATE.reads].map((rate) => many(rate * height));
      await Promise.all([
        delay(TICK_MS),
        ...Array.from({ length: writes! }, () => this.#write()),
        ...Array.from({ length: reads! }, () => this.#read()),
      ]);
    }
  }

  #write(): Promise<void> {
    const page = PAGES[Math.floor(Math.random() * PAGES.length)];
    const value = JSON.stringify({ page, seen: new Date().toISOString() });
    const body = JSON.stringify({ user_id: someUser(), value });
    return this.#ask("/write", { method: "POST", body });
  }

  #read(): Promise<void> {
    return this.#ask(`/read?user_id=${someUser()}`, {});
  }

  async #ask(path: string, init: RequestInit): Promise<void> {
    try {
      const response = await fetch(this.url + path, {
        ...init,
        signal: AbortSignal.timeout(LIMIT_MS),
      });
      await response.body?.cancel();
    } catch {
      this.unanswered++; // The service is being restarted: an application would try again.
    }
  }
}

/** How many there are in one tick, so that on average it is the rate. */
function many(perSecond: number): number {
  const exact = perSecond * TICK_MS / 1000;
  return Math.floor(exact) + (Math.random() < exact % 1 ? 1 : 0);
}

function someUser(): string {
  return `user-${Math.floor(USERS * Math.random() ** 3)}`;
}
