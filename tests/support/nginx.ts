/** Real nginx servers for tests. */
import { installed, NGINX } from "./installed.ts";
import { freePort, TestServer } from "./services.ts";

type Nginx = TestServer;

/**
 * An nginx of one's own on a free loopback port. To be disposed of by the caller.
 * @param http the content of its block `http`, given the port to listen on
 */
export async function startNginx(http: (port: number) => string): Promise<Nginx> {
  const command = await installed(NGINX);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_nginx_" });
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = new TestServer(url, {
    name: "nginx",
    port,
    folder,
    command,
    args: ["-p", folder, "-e", "stderr", "-c", `${folder}/nginx.conf`],
    owner: undefined,
    stopSignal: "SIGQUIT", // What is under way is finished.
    probe: async () => void await (await fetch(`${url}/livez`)).body?.cancel(),
  });
  try {
    await Deno.writeTextFile(`${folder}/nginx.conf`, configuration(folder, http(port)));
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

function configuration(folder: string, http: string): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
    `${name}_temp_path ${folder}/${name};`
  );
  return `daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr;
events { worker_connections 1024; }
http {
access_log off;
${paths.join("\n")}
${http}
}
`;
}
