/**
 * A package that the library stands on lists all variables of the environment when it is loaded, to
 * find those that begin with `DEBUG_`. This program may read its own ones only, and would end.
 */
import process from "node:process";

export const environment = process.env;

process.env = {};
