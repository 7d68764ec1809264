import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { RiskManagerServiceService as Risk } from "@flashloan/proto/risk/v1/risk";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { startRpcServer } from "@flashloan/shared/rpc-server";
import { makeCertificates } from "../src/certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "flashloan-certificates-"));
const own = join(folder, "own");
const foreign = join(folder, "foreign");
let lifecycle = new Lifecycle();
beforeAll(async () => {
  await makeCertificates(own, ["risk-manager", "operator"]);
  await makeCertificates(foreign, ["operator"]);
});
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function serve(tlsFolder: string | undefined): Promise<string> {
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    services: [],
    descriptorFile,
    context: testContext("risk-manager", { tlsFolder }),
  });
  lifecycle.add("server", server).setServing(true);
  return server.address;
}

/** `serving`, or what a caller is told. */
async function ask(address: string, tlsFolder: string | undefined): Promise<string> {
  const client = lifecycle.add("client", new RpcClient(address, tlsFolder));
  if (await client.isServing()) return "serving";
  // A method that the server does not have is enough: the handshake comes first.
  return client.unary(Risk.getStatus, {}, { deadlineMs: 5_000 }).then(
    () => "answered",
    (error: unknown) => `${(error as { code: string }).code}: ${(error as Error).message}`,
  );
}

test("certificates of one authority let both sides in, by name and on loopback", async () => {
  const address = await serve(join(own, "risk-manager"));
  const port = address.split(":")[1];
  expect(await ask(address, join(own, "operator"))).toBe("serving");
  expect(await ask(`localhost:${port}`, join(own, "operator"))).toBe("serving");
});

test.each([
  ["a certificate of another authority", join(own, "risk-manager"), join(foreign, "operator")],
  ["plain text", join(own, "risk-manager"), undefined],
  ["certificates where the server has none", undefined, join(own, "operator")],
])("%s is refused, and the message says where to look", async (_, server, client) => {
  const answer = await ask(await serve(server), client);
  expect(answer).toMatch(/^service_unavailable: .*GRPC_TLS_FOLDER, here and there/);
});

test("a client without a certificate is refused although it trusts the authority", async () => {
  const { connect } = await import("node:tls");
  const address = await serve(join(own, "risk-manager"));
  const [host = "", port] = address.split(":");
  const refused = await new Promise<string>((resolve) => {
    const ca = readFileSync(join(own, "operator", "ca.pem"));
    const socket = connect({ host, port: Number(port), ca, ALPNProtocols: ["h2"] });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("end", () => resolve("ended"));
    socket.on("data", () => resolve("answered"));
  });
  expect(refused).toBe("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
});

test("keys are the owner's alone; what is good is kept, other hosts or a damaged file make all anew", async () => {
  const out = join(folder, "kept");
  expect(await makeCertificates(out, ["a", "b"])).toMatchObject({ made: true });
  const read = (): string[] => ["a", "b"].map((host) => readFileSync(join(out, host, "cert.pem"), "utf8"));
  const first = read();
  expect(statSync(join(out, "a", "key.pem")).mode & 0o777).toBe(0o600);
  expect(await makeCertificates(out, ["a", "b"])).toMatchObject({ made: false });
  expect(read()).toEqual(first);
  writeFileSync(join(out, "b", "cert.pem"), "rubbish");
  expect(await makeCertificates(out, ["a", "b"])).toMatchObject({ made: true });
  const second = read();
  expect([second[0] === first[0], second[1] === first[1]]).toEqual([false, false]);
  expect(await makeCertificates(out, ["a", "b", "127.0.0.1"])).toMatchObject({ made: true });
  await expect(makeCertificates(out, ["a b"])).rejects.toMatchObject({ code: "argument_invalid" });
  await expect(makeCertificates("/proc/none", ["a"])).rejects.toMatchObject({ code: "data_folder_unusable" });
});

test.each([
  ["key.pem", "missing", "key.pem can't be read"],
  ["key.pem", "of another", "key.pem is not the key of cert.pem"],
  ["ca.pem", "of another", "cert.pem was not signed by ca.pem"],
  ["cert.pem", "rubbish", "not certificates and a key in PEM"],
])("a folder whose %s is %s is refused at the start", async (name, fault, message) => {
  const out = join(folder, `faulty ${name} ${fault}`);
  await makeCertificates(out, ["a"]);
  const path = join(out, "a", name);
  if (fault === "missing") rmSync(path);
  else writeFileSync(path, fault === "rubbish" ? fault : readFileSync(join(foreign, "operator", name)));
  await expect(serve(join(out, "a"))).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining(message),
  });
  expect(() => new RpcClient("127.0.0.1:1", join(out, "a"))).toThrow(message);
});
