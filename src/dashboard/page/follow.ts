/** Has the page told what the server says: by what all tabs share, or by asking itself. */
import { Memory, type Word } from "./memory.ts";
import type { FromTab } from "./stream.ts";

/** What all tabs share must have said something by then, a lost connection included. */
const SHARED_SILENT_MS = 12_000;

export function follow(tell: (word: Word) => void): void {
  if (typeof SharedWorker === "undefined") ask(tell);
  else share(tell);
}

function ask(tell: (word: Word) => void): void {
  new Memory(new URL("events", document.baseURI), false, tell);
}

function share(tell: (word: Word) => void): void {
  // Tabs of another build of the page have a worker of their own.
  const name = `dsproxy ${document.documentElement.dataset.build}`;
  const worker = new SharedWorker("dashboard/stream.js", { type: "module", name });
  const { port } = worker;
  const say = (what: FromTab) => port.postMessage(what);
  let isGivenUp = false;
  const giveUp = () => {
    if (isGivenUp) return;
    isGivenUp = true;
    clearTimeout(silence);
    port.close();
    ask(tell);
  };
  const silence = setTimeout(giveUp, SHARED_SILENT_MS);
  worker.onerror = giveUp;
  port.onmessage = ({ data }: MessageEvent<Word>) => {
    clearTimeout(silence);
    if (!isGivenUp) tell(data);
  };
  addEventListener("pagehide", () => say("leaving"));
  // A page that comes back by "Back" goes on where it was.
  addEventListener("pageshow", ({ persisted }) => persisted && say("here"));
  say("here");
}
