import { PGBOUNCER } from "./pgbouncer.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(PGBOUNCER);
