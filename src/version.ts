/** This is the one place that names the version; a test holds deno.json to it. */
export const VERSION = "0.1.0";
