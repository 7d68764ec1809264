import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { ROOT } from "./stages.ts";

// What the tests of Docker Compose and Swarm need: an engine with Compose v2, and the base images of the compose file.
// Images are pulled; where no registry can be reached they are built from Debian's packages (infra/dev-images).
const COMPOSE_FILE = "docker-compose.advanced-langchain.yml";
const PULL_DEADLINE_MS = 120_000;
/** Debian's docker command has BuildKit built in; another one that comes first may lack what Compose needs. */
process.env["PATH"] = `/usr/bin:${process.env["PATH"] ?? ""}`;
process.env["DOCKER_BUILDKIT"] = "1";

function run(command: string, args: readonly string[], timeout?: number): { ok: boolean; out: string } {
  const options = { cwd: ROOT, encoding: "utf8" as const, ...(timeout === undefined ? {} : { timeout }) };
  const { status, stdout, stderr } = spawnSync(command, args, options);
  return { ok: status === 0, out: `${stdout ?? ""}${status === 0 ? "" : (stderr ?? "")}`.trim() };
}

/** Runs a long step with its output passed through. */
function show(command: string): boolean {
  console.log(command);
  return spawnSync(command, { cwd: ROOT, shell: true, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}

function prepare(): string | undefined {
  const hasEngine = (): boolean => run("docker", ["info"]).ok && run("docker", ["compose", "version"]).ok;
  if (!hasEngine()) {
    if (process.getuid?.() !== 0) return "there is no Docker engine with Compose v2, and installing one needs root";
    if (!run("apt-get", ["--version"]).ok) return "there is no Docker engine with Compose v2, and no apt-get";
    if (!show("infra/dev-images/engine.sh") || !hasEngine()) return "no Docker engine could be installed and started";
  }
  const { ok, out } = run("docker", ["compose", "-f", COMPOSE_FILE, "config", "--images"]);
  if (!ok) return `${COMPOSE_FILE} is not valid: ${out}`;
  const isOurs = (image: string): boolean => image.startsWith("flashloan/");
  const images = [...new Set(["node:24-trixie-slim", ...out.split("\n")])].filter((image) => !isOurs(image));
  const missing = images.filter((image) => !run("docker", ["image", "inspect", image]).ok);
  const pulled = (image: string): boolean => run("docker", ["pull", image], PULL_DEADLINE_MS).ok;
  if (!missing.every(pulled) && !show("infra/dev-images/base-images.sh"))
    return `${missing.join(", ")} can neither be pulled nor built`;
  return undefined;
}

const failure = prepare();
if (failure === undefined) {
  const doubles = run("docker", [
    "images",
    "--filter",
    "label=local.standin.kind=double",
    "--format",
    "{{.Repository}}",
  ]);
  const note = doubles.out === "" ? "" : `; doubles that render nothing: ${doubles.out.split("\n").join(", ")}`;
  console.log(
    `engine ${run("docker", ["version", "--format", "{{.Server.Version}}"]).out}, base images present${note}`,
  );
} else {
  writeFileSync(
    2,
    `${failure}.\nFLASHLOAN_SKIP_CONTAINERS=1 leaves the tests of Docker Compose and Swarm out; =if-absent only where this happens.\n`,
  );
  process.exitCode = 1;
}
