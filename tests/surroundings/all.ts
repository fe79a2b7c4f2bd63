/** Every surrounding, in the table's order. */
import { DISK } from "./disk.ts";
import { FAILOVER } from "./failover.ts";
import { NGINX } from "./nginx.ts";
import { PGBOUNCER } from "./pgbouncer.ts";
import { POSTGRES } from "./postgres.ts";
import { REDIS } from "./redis.ts";
import { RESTORED } from "./restored.ts";
import { ROWS } from "./rows.ts";
import { TLS } from "./tls.ts";
import type { Surrounding } from "./surrounding.ts";

export const SURROUNDINGS: readonly Surrounding[] = [
  ...POSTGRES,
  ...ROWS,
  ...PGBOUNCER,
  ...FAILOVER,
  ...RESTORED,
  ...TLS,
  ...REDIS,
  ...NGINX,
  ...DISK,
];
