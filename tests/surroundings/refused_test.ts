import { REFUSED } from "./refused.ts";

for (const { name, run } of REFUSED) {
  Deno.test(`the service and --check-config say what is wrong: ${name}`, async () =>
    void await run());
}
