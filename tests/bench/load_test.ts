import assert from "node:assert/strict";
import { parseOha } from "../../bench/load/oha.ts";
import { filled, OWN_REQUESTS, parseTemplate } from "../../bench/load/template.ts";
import { luaOf, parseWrk } from "../../bench/load/wrk.ts";

const WRK_OUTPUT = `Running 2s test @ http://127.0.0.1:39415
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.70ms    1.21ms  26.31ms   90.86%
    Req/Sec    24.17k     2.07k   26.89k    75.00%
  Latency Distribution
     50%  500.00us
     75%    2.84ms
     90%    3.51ms
     99%    1.05s 
  48109 requests in 2.00s, 8.72MB read
Requests/sec:  24023.17
Transfer/sec:      4.35MB
`;

Deno.test("wrk's figures are read, whatever unit they are in", () => {
  assert.deepEqual(parseWrk(WRK_OUTPUT), { perSecond: 24023.17, p50Ms: 0.5, p99Ms: 1050 });
});

Deno.test("a load that was not answered well has no figures", () => {
  assert.throws(
    () => parseWrk(`${WRK_OUTPUT}  Non-2xx or 3xx responses: 12\n`),
    /Not all were answered well: Non-2xx or 3xx responses: 12/,
  );
  assert.throws(
    () => parseWrk(`${WRK_OUTPUT}  Socket errors: connect 0, read 1, write 0, timeout 0\n`),
    /Socket errors/,
  );
  assert.throws(() => parseWrk("unable to connect"), /No request was answered/);
});

Deno.test("wrk's script asks for random users and sends every header", () => {
  const lua = luaOf(OWN_REQUESTS.write, {
    connections: 1,
    seconds: 1,
    users: 7,
    headers: { accept: 'a "b"' },
  });
  assert.ok(lua.includes('{ ["accept"]="a \\"b\\"", ["content-type"]="application/json" }'), lua);
  assert.ok(lua.includes("math.random(7)"), lua);
  const body = '"{\\"user_id\\":\\"user" .. user .. "\\",\\"value\\":\\"value " .. n .. "\\"}"';
  assert.ok(lua.includes(`wrk.format("POST", "/write", headers, ${body})`), lua);
});

Deno.test("a template is filled for a user, and refused where it says too little", () => {
  assert.equal(filled("/u/{user}?n={n}", 3, 9), "/u/3?n=9");
  assert.deepEqual(parseTemplate(JSON.stringify(OWN_REQUESTS)), OWN_REQUESTS);
  assert.throws(() => parseTemplate('{"write":{"method":"PUT","path":"/k"}}'), /needs "read"/);
  assert.throws(
    () => parseTemplate('{"write":{"method":"PUT","path":"k"},"read":{}}'),
    /needs "write" with "method" and a "path" that begins/,
  );
});

const OHA_OUTPUT = {
  summary: { requestsPerSec: 999.5 },
  latencyPercentiles: { "p50": 0.001, "p99": 0.005, "p99.9": 0.02 },
  statusCodeDistribution: { "202": 4_000 },
  errorDistribution: { "aborted due to deadline": 3 },
};

Deno.test("oha's figures are read, in milliseconds", () => {
  assert.deepEqual(parseOha(JSON.stringify(OHA_OUTPUT)), {
    perSecond: 999.5,
    p50Ms: 1,
    p99Ms: 5,
    p999Ms: 20,
  });
});

Deno.test("an open loop that was not answered well has no figures", () => {
  const refused = { ...OHA_OUTPUT, statusCodeDistribution: { "202": 4_000, "503": 2 } };
  assert.throws(() => parseOha(JSON.stringify(refused)), /Not all were answered well: .*503/);
  const broken = { ...OHA_OUTPUT, errorDistribution: { "connection closed": 1 } };
  assert.throws(() => parseOha(JSON.stringify(broken)), /connection closed/);
});
