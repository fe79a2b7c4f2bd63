import { FAILOVER } from "./failover.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(FAILOVER);
