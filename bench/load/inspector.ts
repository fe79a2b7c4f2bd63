/** Profiles a process of this runtime that was started with `--inspect`. */

/** Less often than this would miss short functions, more often would be felt. */
const SAMPLE_EVERY_US = 200;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Seconds spent in each function itself, by its name and file. */
export type SelfTime = ReadonlyMap<string, number>;

export class Inspector implements Disposable {
  #lastId = 0;
  readonly #waiting = new Map<number, (result: unknown) => void>();

  private constructor(private readonly socket: WebSocket) {
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(data);
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    };
  }

  static async connect(port: number): Promise<Inspector> {
    const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Inspector(socket);
  }

  /** Returns what the main thread did while `work` went on. */
  async profile(work: () => Promise<unknown>): Promise<SelfTime> {
    await this.#call("Profiler.enable");
    await this.#call("Profiler.setSamplingInterval", { interval: SAMPLE_EVERY_US });
    await this.#call("Profiler.start");
    await work();
    const { profile } = await this.#call("Profiler.stop") as { profile: Profile };
    return selfTime(profile);
  }

  #call(method: string, params: Record<string, unknown> = {}): Promise<unknown> {
    const id = ++this.#lastId;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

function selfTime({ nodes, samples, timeDeltas }: Profile): SelfTime {
  const names = new Map(nodes.map(({ id, callFrame: { functionName, url } }) => {
    const file = url.replace(/^.*\/(?:src|node_modules|npm\/[^/]+)\//, "");
    return [id, `${functionName === "" ? "(anonymous)" : functionName} ${file}`.trim()];
  }));
  const times = new Map<string, number>();
  for (const [i, id] of samples.entries()) {
    const name = names.get(id)!;
    times.set(name, (times.get(name) ?? 0) + timeDeltas[i]! / 1e6);
  }
  return times;
}
