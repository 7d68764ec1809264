import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

// The adapter tests run against real servers, each as a process of the test itself on free ports. This installs their
// Debian packages where they are missing; nothing is started by the system.
const SERVERS = [
  { package: "postgresql", present: () => existsAny("/usr/lib/postgresql", "bin/postgres") || onPath("postgres") },
  { package: "redis-server", present: () => onPath("redis-server") },
  { package: "rabbitmq-server", present: () => existsSync("/usr/lib/rabbitmq/bin/rabbitmq-server") },
  { package: "etcd-server", present: () => onPath("etcd") },
  { package: "prometheus", present: () => onPath("prometheus") && onPath("promtool") },
  { package: "prometheus-alertmanager", present: () => onPath("prometheus-alertmanager") && onPath("amtool") },
  // No server: the walls of the sandbox.
  { package: "bubblewrap", present: () => onPath("bwrap") },
];
/** While this script answers 101, Debian's package scripts start no service (Debian Policy, invoke-rc.d). */
const POLICY = "/usr/sbin/policy-rc.d";

function onPath(name: string): boolean {
  return `${process.env["PATH"] ?? ""}${delimiter}/usr/sbin${delimiter}/usr/bin`
    .split(delimiter)
    .some((folder) => isExecutable(join(folder, name)));
}

function existsAny(folder: string, file: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((version) => isExecutable(join(folder, version, file)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function apt(...args: string[]): boolean {
  console.log(`apt-get ${args.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync("apt-get", args, { stdio: ["ignore", "inherit", "inherit"], env }).status === 0;
}

function install(packages: readonly string[]): string | undefined {
  if (!onPath("apt-get")) return "this system has no apt-get";
  if (process.getuid?.() !== 0) return "installing packages needs root";
  const ownPolicy = !existsSync(POLICY);
  if (ownPolicy) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    if (!apt("update")) return "apt-get update failed";
    if (!apt("install", "-y", "--no-install-recommends", ...packages)) return "apt-get install failed";
  } finally {
    if (ownPolicy) rmSync(POLICY);
  }
  const left = SERVERS.filter((server) => !server.present()).map((server) => server.package);
  return left.length === 0 ? undefined : `still missing after the install: ${left.join(", ")}`;
}

const missing = SERVERS.filter((server) => !server.present()).map((server) => server.package);
if (missing.length === 0) {
  console.log(`present: ${SERVERS.map((server) => server.package).join(", ")}`);
} else {
  console.log(`missing: ${missing.join(", ")}`);
  const failure = install(missing);
  if (failure !== undefined) {
    console.error(
      `The adapter tests need ${missing.join(", ")}, and ${failure}.\nInstall them as root: apt-get update && apt-get install -y --no-install-recommends ${missing.join(" ")}`,
    );
    process.exitCode = 1;
  }
}
