import { DISK } from "./disk.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(DISK);
