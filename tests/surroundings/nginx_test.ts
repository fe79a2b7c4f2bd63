import { NGINX } from "./nginx.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(NGINX);
