import { ROWS } from "./rows.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(ROWS);
