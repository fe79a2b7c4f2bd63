import { RESTORED } from "./restored.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(RESTORED);
