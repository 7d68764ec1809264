import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { systemClock } from "@flashloan/shared/clock";
import { docker } from "../support/stack.ts";

// The stack on a real Swarm of one node: deployed, updated under load, and a broken release taken back under load.
const POLL = { timeout: 300_000, interval: 1_000 };
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const STACK = "flashloan-test";
const IMAGE = "flashloan/platform:test";
const NEXT_IMAGE = "flashloan/platform:test-next";
const LOAD = `${STACK}-load`;
const UPDATED = ["market-predictor", "risk-manager", "checkpoint", "hft-executor"];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1_000).toFixed(1);
/** A Swarm that was there before is left as it was. */
let joined = false;

const serviceSchema = z.object({ Name: z.string(), Replicas: z.string(), Image: z.string() });
async function servicesOf(): Promise<z.infer<typeof serviceSchema>[]> {
  const lines = await docker(["stack", "services", STACK, "--format", "{{json .}}"]);
  return lines.split("\n").map((line) => serviceSchema.parse(JSON.parse(line)));
}
const replicas = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await servicesOf()).map(({ Name, Replicas }) => [Name.slice(STACK.length + 1), Replicas]));
const updateState = (service: string): Promise<string> =>
  docker([
    "service",
    "inspect",
    `${STACK}_${service}`,
    "--format",
    "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}",
  ]);
async function inExecutor(...command: string[]): Promise<string> {
  const id = await docker(["ps", "--quiet", "--filter", `name=${STACK}_hft-executor`, "--filter", "health=healthy"]);
  return docker(["exec", id.split("\n")[0] ?? "", ...command]);
}
const settled = async (): Promise<number> => {
  const status = await inExecutor("flashloan", "status", "--json").catch(() => "{}");
  return Number(/"tradesSettled":"?(\d+)/.exec(status)?.[1] ?? 0);
};

async function startLoad(): Promise<void> {
  await removeLoad();
  // A task of the stack's own that no update touches: it has the network, the certificates and the image.
  const certificates = ["ca", "cert", "key"].flatMap((part) => [
    "--secret",
    `source=${STACK}-tls-hft-executor-${part},target=/run/tls/${part}.pem,uid=1000,gid=1000,mode=0400`,
  ]);
  const script = `type=bind,source=${ROOT}tests/swarm/load.mjs,target=/app/packages/cli/load.mjs,readonly`;
  const options = ["--name", LOAD, "--network", `${STACK}_control`, "--restart-condition", "none", "--mount", script];
  const command = ["node", "packages/cli/load.mjs"];
  await docker(["service", "create", "--detach", "--no-resolve-image", ...options, ...certificates, IMAGE, ...command]);
  await expect.poll(() => docker(["service", "logs", "--raw", LOAD]), POLL).toContain("started");
}
const loadContainer = (): Promise<string> => docker(["ps", "--quiet", "--filter", `name=${LOAD}`]);
/** A service is gone before its container is. */
async function removeLoad(): Promise<void> {
  await docker(["service", "rm", LOAD]).catch(() => undefined);
  await expect.poll(loadContainer, POLL).toBe("");
}
async function endLoad(): Promise<{ requests: number; failed: number; errors: string[] }> {
  await docker(["kill", "--signal", "SIGTERM", await loadContainer()]);
  const lastLine = async (): Promise<string> =>
    (await docker(["service", "logs", "--raw", LOAD])).split("\n").find((line) => line.startsWith("{")) ?? "";
  await expect.poll(lastLine, POLL).not.toBe("");
  const result = JSON.parse(await lastLine()) as { requests: number; failed: number; errors: string[] };
  await removeLoad();
  return result;
}

beforeAll(async () => {
  await docker(["build", "--file", "infra/docker/Dockerfile", "--tag", IMAGE, "."]);
  await docker(["tag", IMAGE, NEXT_IMAGE]);
  if ((await docker(["info", "--format", "{{.Swarm.LocalNodeState}}"])) !== "active") {
    await docker(["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0"]);
    joined = true;
  }
}, 900_000);
afterAll(async () => {
  await docker(["service", "rm", LOAD]).catch(() => undefined);
  await docker(["stack", "rm", STACK]).catch(() => undefined);
  // Volumes and networks can be removed when the last container is.
  const left = ["ps", "--all", "--quiet", "--filter", `label=com.docker.stack.namespace=${STACK}`];
  while ((await docker(left)) !== "") await systemClock.sleep(500);
  const named = (kind: string): Promise<string> => docker([kind, "ls", "--quiet", "--filter", `name=${STACK}`]);
  for (const kind of ["secret", "config", "volume"])
    for (const id of (await named(kind)).split("\n").filter((line) => line !== "")) await docker([kind, "rm", id]);
  if (joined) await docker(["swarm", "leave", "--force"]);
}, 600_000);

test(
  "the documented command deploys the stack: every service has its replicas, and trades settle",
  {
    timeout: 900_000,
  },
  async () => {
    const startedMs = performance.now();
    const environment = {
      ...process.env,
      PATH: `/usr/bin:${process.env["PATH"] ?? ""}`,
      STACK,
      FLASHLOAN_IMAGE: IMAGE,
      DEVNET_WHALE_ACTIVITY: "0.7",
    };
    execFileSync("bash", ["infra/swarm/deploy.sh", "--resolve-image", "never"], {
      cwd: ROOT,
      env: environment,
      stdio: "inherit",
    });
    const all = async (): Promise<Record<string, string>> => {
      // The job has done its work when it is gone.
      const rest = await replicas();
      delete rest["migrate"];
      return rest;
    };
    await expect
      .poll(async () => Object.entries(await all()).filter(([, count]) => !/^(\d+)\/\1/.test(count)), POLL)
      .toEqual([]);
    expect((await all())["market-predictor"]).toBe("2/2");
    say(`all replicas up after ${seconds(startedMs)} s`);
    await expect.poll(settled, POLL).toBeGreaterThanOrEqual(3);
    say(`three trades settled after ${seconds(startedMs)} s`);
  },
);

test("a rolling update under load: every task is new, no request fails", { timeout: 900_000 }, async () => {
  const tasks = (): Promise<string> =>
    docker([
      "service",
      "ps",
      `${STACK}_market-predictor`,
      "--filter",
      "desired-state=running",
      "--quiet",
      "--no-trunc",
    ]);
  const before = (await tasks()).split("\n");
  await startLoad();
  const startedMs = performance.now();
  for (const service of UPDATED) {
    await docker(["service", "update", "--detach", "--no-resolve-image", "--image", NEXT_IMAGE, `${STACK}_${service}`]);
    await expect.poll(() => updateState(service), POLL).toBe("completed");
  }
  const { requests, failed, errors } = await endLoad();
  say(`four services updated in ${seconds(startedMs)} s: ${failed} of ${requests} requests failed`);
  expect([failed, errors]).toEqual([0, []]);
  expect(requests).toBeGreaterThan(100);
  const after = (await tasks()).split("\n");
  expect(after).toHaveLength(2);
  expect(after.filter((task) => before.includes(task))).toEqual([]);
  const images = (await servicesOf()).filter(({ Name }) => UPDATED.some((service) => Name === `${STACK}_${service}`));
  expect(images.map(({ Image }) => Image)).toEqual(UPDATED.map(() => NEXT_IMAGE));
  const had = await settled();
  await expect.poll(settled, POLL).toBeGreaterThan(had);
});

test("a broken release is taken back by itself, and no request fails", { timeout: 900_000 }, async () => {
  await startLoad();
  const startedMs = performance.now();
  // It starts, finds another chain than it is told, and ends: again and again.
  await docker(["service", "update", "--detach", "--env-add", "PREDICTOR_CHAIN_ID=99", `${STACK}_market-predictor`]);
  await expect.poll(() => updateState("market-predictor"), POLL).toBe("rollback_completed");
  const { requests, failed, errors } = await endLoad();
  say(`the broken release was taken back after ${seconds(startedMs)} s: ${failed} of ${requests} requests failed`);
  expect([failed, errors]).toEqual([0, []]);
  const environment = await docker([
    "service",
    "inspect",
    `${STACK}_market-predictor`,
    "--format",
    "{{json .Spec.TaskTemplate.ContainerSpec.Env}}",
  ]);
  expect(environment).not.toContain("PREDICTOR_CHAIN_ID=99");
  expect((await replicas())["market-predictor"]).toBe("2/2");
});
