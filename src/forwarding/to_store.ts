/**
 * Brings groups to the store at once, in the place of a broker and a worker: for the runs that a
 * broker may have, once there is none any more.
 */
import type { Publisher } from "../ports/broker.ts";
import type { GroupStore } from "../ports/group_store.ts";
import { decodeGroup } from "./group_message.ts";

export function publishToStore(groups: GroupStore): Publisher {
  return {
    async publish({ bytes }) {
      const group = decodeGroup(bytes);
      await groups.apply([group]);
      await groups.fold(group.source);
    },
    ping: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
