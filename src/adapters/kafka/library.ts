/** The library, loaded without a look at the environment: modules are loaded in this order. */
import { environment } from "./closed_environment.ts";
export {
  Admin,
  Base,
  type BaseOptions,
  compatibilityPartitioner,
  ConnectionPool,
  Consumer,
  type ConsumerGroupJoinPayload,
  IS_CONTROL,
  Producer,
} from "@platformatic/kafka";
import process from "node:process";

process.env = environment;
