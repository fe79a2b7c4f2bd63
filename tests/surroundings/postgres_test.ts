import { POSTGRES } from "./postgres.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(POSTGRES);
