import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, newFolder, TestServer } from "./servers.ts";

/** Prometheus with exemplars, as in Compose; `files` are written beside each other, prometheus.yml among them. */
export async function startPrometheus(port: number, files: Readonly<Record<string, string>>): Promise<TestServer> {
  const folder = newFolder("prometheus");
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return start("Prometheus", port, folder, "prometheus", [
    `--config.file=${join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(folder, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
    "--enable-feature=exemplar-storage",
  ]);
}

/** Alertmanager, alone: no gossip. */
export async function startAlertmanager(port: number, config: string): Promise<TestServer> {
  const folder = newFolder("alertmanager");
  writeFileSync(join(folder, "alertmanager.yml"), config);
  return start("Alertmanager", port, folder, "prometheus-alertmanager", [
    `--config.file=${join(folder, "alertmanager.yml")}`,
    `--storage.path=${join(folder, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
    "--cluster.listen-address=",
  ]);
}

async function start(
  name: string,
  port: number,
  folder: string,
  program: string,
  args: readonly string[],
): Promise<TestServer> {
  const url = `http://127.0.0.1:${port}`;
  const server = new TestServer(url, port, {
    name,
    folder,
    command: binary(program),
    args,
    stopSignal: "SIGTERM",
    isReady: async () => {
      const response = await fetch(`${url}/-/ready`).catch(() => undefined);
      return response?.ok === true;
    },
  });
  await server.start();
  return server;
}
