import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { expect, test } from "vitest";
import { z } from "zod";
import { declarationOf } from "@flashloan/supervisor/drivers/labels";
import { COMPOSE_FILE } from "../support/stack.ts";

// The stack file says again what the compose file says, in Swarm's words: here they are held together.
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const serviceSchema = z.looseObject({
  image: z.string(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  healthcheck: z.looseObject({}).optional(),
  networks: z.array(z.string()).optional(),
  user: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  network_mode: z.string().optional(),
  init: z.boolean().optional(),
  volumes: z.array(z.string().or(z.object({ target: z.string(), tmpfs: z.object({ size: z.number() }) }))).optional(),
  tmpfs: z.array(z.string()).optional(),
  cap_add: z.array(z.string()).optional(),
  cap_drop: z.array(z.string()),
  read_only: z.boolean().optional(),
  mem_limit: z.string().optional(),
  pids_limit: z.number().optional(),
  secrets: z.array(z.object({ source: z.string(), target: z.string() })).optional(),
  configs: z.array(z.object({ source: z.string(), target: z.string() })).optional(),
  deploy: z
    .looseObject({
      labels: z.record(z.string(), z.string()).optional(),
      resources: z.object({ limits: z.object({ memory: z.string(), pids: z.number() }) }),
    })
    .optional(),
});
type Service = z.infer<typeof serviceSchema>;
const fileSchema = z.object({
  services: z.record(z.string(), serviceSchema),
  networks: z.record(z.string(), z.looseObject({ internal: z.boolean().optional() }).nullable()),
  configs: z.record(z.string(), z.object({ file: z.string() })).optional(),
  secrets: z.record(z.string(), z.unknown()).optional(),
  volumes: z.record(z.string(), z.unknown()),
});
const read = (path: string): z.infer<typeof fileSchema> =>
  fileSchema.parse(parse(readFileSync(`${ROOT}${path}`, "utf8"), { merge: true }));
const compose = read(COMPOSE_FILE);
const stack = read("infra/swarm/stack.yml");
/** Made by deploy.sh instead. */
const NOT_IN_SWARM = "secrets";
/** A Swarm has no service without a network: one without a way out, and nobody else in it, stands for none. */
const ALONE = "sandbox";
const names = Object.keys(compose.services).filter((name) => name !== NOT_IN_SWARM);
const pair = (name: string): [Service, Service] => {
  const [there, here] = [compose.services[name], stack.services[name]];
  if (!there || !here) throw new Error(`${name} is in one file only`);
  return [there, here];
};
/** Volumes in whose stead Swarm has secrets and configs. */
const isReplaced = (volume: string): boolean => /-secret:|^tls-|^\.\/|\/run\/secrets\/executor/.test(volume);
/** Folders in memory with their sizes in bytes, in either file's words. */
function memoryFolders({ tmpfs = [], volumes = [] }: Service): Record<string, number> {
  const short = tmpfs
    .map((text) => /^(.*):size=(\d+)m/.exec(text) ?? [])
    .map(([, path, size]) => [path, Number(size) * 2 ** 20]);
  const long = volumes
    .filter((volume) => typeof volume === "object")
    .map(({ target, tmpfs: { size } }) => [target, size]);
  return Object.fromEntries([...short, ...long]) as Record<string, number>;
}

test("both have the same services", () => {
  expect(Object.keys(stack.services).sort()).toEqual(names.sort());
});

test.each(names)("%s: image, command, health, networks, user, file systems and limits are the same", (name) => {
  const [there, here] = pair(name);
  // What a job has none of, Swarm is told to leave out.
  const healthOf = ({ healthcheck }: Service): unknown => (healthcheck?.["disable"] === true ? undefined : healthcheck);
  const same = (service: Service) => {
    const { image, command, user, cap_add, cap_drop, read_only } = service;
    const networks = service.network_mode === "none" ? [ALONE] : service.networks;
    const rest = { healthcheck: healthOf(service), memory: memoryFolders(service) };
    return { image, command, user, networks, cap_add, cap_drop, read_only, ...rest };
  };
  expect(same(here)).toEqual(same(there));
  expect(here.deploy?.resources.limits).toEqual({ memory: there.mem_limit, pids: there.pids_limit });
  const named = ({ volumes = [] }: Service): string[] => volumes.filter((volume) => typeof volume === "string");
  expect(named(here)).toEqual(named(there).filter((volume) => !isReplaced(volume)));
});

test("who has no network in Compose is alone in a Swarm's network that leads nowhere", () => {
  const without = names.filter((name) => compose.services[name]?.network_mode === "none");
  const members = Object.entries(stack.services).filter(([, { networks = [] }]) => networks.includes(ALONE));
  expect(members.map(([name]) => name)).toEqual(without);
  expect(without).toHaveLength(1);
  expect(stack.networks[ALONE]?.internal).toBe(true);
  // Its first process is the one that a run can't touch.
  expect(members.map(([name, { init }]) => [init, compose.services[name]?.init])).toEqual([[false, false]]);
});

test.each(names)(
  "%s: the environment is the same, but for TLS, which Swarm always has, and for what units are",
  (name) => {
    const [there, here] = pair(name);
    const expected = { ...there.environment };
    const swarms = {
      GRPC_TLS_FOLDER: "/run/tls",
      SUPERVISOR_UNITS_URL: "swarm:http://engine-proxy:2375",
      ENGINE_PROXY_SCOPE: "swarm",
      ENGINE_PROXY_PROJECT: "${STACK:-flashloan}",
    };
    for (const [variable, value] of Object.entries(swarms)) if (variable in expected) expected[variable] = value;
    expect(here.environment ?? {}).toEqual(expected);
  },
);

test.each(names)("%s: it is supervised in both, or in neither", (name) => {
  const [there, here] = pair(name);
  expect(here.deploy?.labels).toEqual(there.labels);
  const isUnit = !["migrate", "supervisor", "engine-proxy"].includes(name);
  expect(there.labels?.["flashloan.supervised"]).toBe(isUnit ? "true" : undefined);
  // What the supervisor makes of the labels.
  const declared = isUnit ? declarationOf(there.labels ?? {}) : undefined;
  expect(declared && "id" in declared ? declared.id : declared).toBe(isUnit ? name : undefined);
  const waitedFor = declared && "dependsOn" in declared ? declared.dependsOn : [];
  expect(waitedFor.filter((unit) => !names.includes(unit))).toEqual([]);
});

test("nobody but the engine's proxy has the engine's socket, and nobody but the supervisor reaches the proxy", () => {
  for (const { services } of [compose, stack]) {
    const having = (has: (service: Service) => boolean): string[] =>
      Object.entries(services).flatMap(([name, service]) => (has(service) ? [name] : []));
    expect(having(({ volumes = [] }) => JSON.stringify(volumes).includes("docker.sock"))).toEqual(["engine-proxy"]);
    expect(having(({ networks = [] }) => networks.includes("engine")).sort()).toEqual(["engine-proxy", "supervisor"]);
    expect(services["engine-proxy"]).not.toHaveProperty("ports");
  }
});

test("what the environment points to is there: every file of a secret has a secret, every secret is made", () => {
  const declared = Object.keys(stack.secrets ?? {});
  const used = Object.values(stack.services).flatMap(({ secrets = [] }) => secrets.map(({ source }) => source));
  expect([...new Set(used)].sort()).toEqual(declared.sort());
  const missing = Object.entries(stack.services).flatMap(([name, { environment = {}, secrets = [] }]) => {
    const targets = secrets.map(({ target }) => target);
    const tls = environment["GRPC_TLS_FOLDER"];
    const wanted = [
      ...Object.values(environment).filter((path) => path.startsWith("/run/secrets/")),
      ...(tls === undefined ? [] : ["ca", "cert", "key"].map((part) => `${tls}/${part}.pem`)),
    ];
    return wanted.filter((path) => !targets.some((target) => target.startsWith(path))).map((path) => `${name} ${path}`);
  });
  expect(missing).toEqual([]);
  const made = readFileSync(`${ROOT}infra/swarm/deploy.sh`, "utf8");
  const hosts = /hosts=\(([^)]*)\)/.exec(made)?.[1]?.split(" ") ?? [];
  const certificates = hosts.flatMap((host) => ["ca", "cert", "key"].map((part) => `tls-${host}-${part}`));
  const passwords = [...made.matchAll(/add_secret ([a-z-]+[a-z])/g)].map(([, name = ""]) => name);
  expect([...new Set([...certificates, ...passwords])].sort()).toEqual(declared.sort());
});

test("every file that the compose file mounts is a config", () => {
  const files = Object.values(stack.configs ?? {}).map(({ file }) => file.replaceAll("../", ""));
  const folders = ["grafana/provisioning/datasources", "grafana/provisioning/dashboards", "grafana/dashboards"];
  const mounted = [
    "infra/rabbitmq/rabbitmq.conf",
    "infra/prometheus/prometheus.yml",
    "infra/prometheus/alerts.yml",
    "infra/alertmanager/alertmanager.yml",
    "infra/jaeger/config.yaml",
    ...folders.flatMap((folder) =>
      readdirSync(`${ROOT}${folder}`).map((file) => `${folder}/${file.replace("../", "")}`),
    ),
  ];
  expect(files.map((file) => (file.startsWith("grafana") ? file : `infra/${file}`)).sort()).toEqual(mounted.sort());
});

test("volumes that hold data are on the labelled node, and the executor is never there twice", () => {
  const constraints = ["node.labels.flashloan.data == true"];
  const holders = Object.values(stack.services).filter(({ volumes = [] }) =>
    volumes.some((volume) => typeof volume === "string" && !volume.includes("docker.sock")),
  );
  expect(holders.map(({ deploy }) => deploy?.["placement"])).toEqual(holders.map(() => ({ constraints })));
  expect(stack.services["hft-executor"]?.deploy).toMatchObject({
    replicas: 1,
    update_config: { order: "stop-first", failure_action: "rollback" },
    rollback_config: { order: "stop-first" },
  });
});
