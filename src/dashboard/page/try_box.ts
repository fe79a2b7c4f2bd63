/** Writes and reads one record, as a client would. */
import { tellOutcome } from "./actions.ts";
import { call } from "./call.ts";
import { byId } from "./dom.ts";
import { milliseconds, moment } from "./wording.ts";

export function tryBox(): void {
  const outcome = byId("try-outcome", HTMLElement);
  const value = (id: string) => byId(id, HTMLInputElement).value;
  byId("try-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void tellOutcome(outcome, () => write(value("try-user"), value("try-value")));
  });
  byId("try-read", HTMLButtonElement).addEventListener("click", () => {
    void tellOutcome(outcome, () => read(value("try-user")));
  });
}

async function write(userId: string, value: string): Promise<string> {
  const startedMs = performance.now();
  const body = JSON.stringify({ user_id: userId, value });
  const { headers } = await call("write", { method: "POST", body });
  const id = headers.get("dsproxy-write-id") ?? "without an id";
  return `Accepted as ${id} in ${milliseconds(performance.now() - startedMs)}.`;
}

async function read(userId: string): Promise<string> {
  const startedMs = performance.now();
  const { text, headers } = await call(`read?user_id=${encodeURIComponent(userId)}`, {});
  const tookMs = performance.now() - startedMs;
  const ts = Number(headers.get("dsproxy-ts"));
  return `${JSON.stringify(text)}, of ${moment(ts * 1000)}, from ${
    headers.get("dsproxy-source") ?? "an unknown tier"
  }, in ${milliseconds(tookMs)}.`;
}
