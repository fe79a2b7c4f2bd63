import { REDIS } from "./redis.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(REDIS);
