/**
 * Runs once for all tabs of a browser, which share the one connection that it has: over HTTP/1.1 a
 * browser opens six to a server, and seven pages with a stream each would stop one another.
 */
import { Memory } from "./memory.ts";

/** What a tab says. One that was closed says nothing more, and is told nothing that it notices. */
export type FromTab = "here" | "leaving";

const tabs = new Set<MessagePort>();

const memory = new Memory(new URL("../events", location.href), true, (word) => {
  for (const tab of tabs) tab.postMessage(word);
});

addEventListener("connect", (event) => {
  const tab = (event as MessageEvent).ports[0]!;
  tab.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (data === "leaving") tabs.delete(tab);
    else {
      tabs.add(tab);
      for (const word of memory.words) tab.postMessage(word);
    }
  };
});
