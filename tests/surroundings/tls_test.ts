import { TLS } from "./tls.ts";
import { testSurroundings } from "./test_of.ts";

testSurroundings(TLS);
