/** Serves a side on a free port, and says where, as whoever starts it waits for. */
export function listen(
  write: (request: Request) => Promise<Response>,
  read: (url: string) => Response | Promise<Response>,
): void {
  Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) =>
      Deno.stdout.writeSync(new TextEncoder().encode(`listening on http://127.0.0.1:${port}\n`)),
  }, (request) => request.method === "POST" ? write(request) : read(request.url));
}
