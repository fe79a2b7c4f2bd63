/** Gives every user a value, so that none whom a load of reads asks for is missing. */
import type { Side } from "../sides/side.ts";
import { filled } from "./template.ts";

const AT_ONCE = 50;

/** @throws Error when one is not answered with 2xx */
export async function writeEveryUser(side: Side, users: number): Promise<void> {
  const { method, path, headers = {}, body } = side.requests.write;
  const write = async (user: number) => {
    const response = await fetch(side.url + filled(path, user, user), {
      method,
      headers,
      ...(body === undefined ? {} : { body: filled(body, user, user) }),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`${side.name} answered ${response.status}`);
  };
  for (let first = 1; first <= users; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, users - first + 1);
    await Promise.all(Array.from({ length: count }, (_, i) => write(first + i)));
  }
}
