import { testScenarios } from "./fault_test_of.ts";
import { POSTGRES } from "./scenarios/postgres.ts";

testScenarios(POSTGRES);
