import { trialTests } from "./tests_of.ts";

trialTests("Redis");
