import { testScenarios } from "./fault_test_of.ts";
import { REDIS } from "./scenarios/redis.ts";

testScenarios(REDIS);
