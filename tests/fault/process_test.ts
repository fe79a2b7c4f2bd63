import { testScenarios } from "./fault_test_of.ts";
import { PROCESS } from "./scenarios/process.ts";

testScenarios(PROCESS);
