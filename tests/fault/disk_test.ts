import { testScenarios } from "./fault_test_of.ts";
import { DISK } from "./scenarios/disk.ts";

testScenarios(DISK);
