import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { amountVariable, choiceVariable, integerVariable, readConfig, textVariable } from "../src/config.ts";
import { FlashloanError } from "../src/errors.ts";

const schema = {
  RPC_PORT: integerVariable(1, 65_535, 7000, "port of the server"),
  MAX_LOSS_WEI: amountVariable(5n, "most that may be lost"),
  CHAIN_URL: textVariable("endpoint of the node"),
  LOG_LEVEL: choiceVariable(["info", "debug"], "info", "least severe level"),
  SIGNER_KEY: textVariable("the key", "none"),
};

test("defaults, numbers and amounts are typed", () => {
  const config = readConfig(schema, { CHAIN_URL: "ws://x", MAX_LOSS_WEI: "123456789012345678901234567890" });
  expect(config).toEqual({
    RPC_PORT: 7000,
    MAX_LOSS_WEI: 123456789012345678901234567890n,
    CHAIN_URL: "ws://x",
    LOG_LEVEL: "info",
    SIGNER_KEY: "none",
  });
});

test("all faults are reported at once, each with variable, value and cure", () => {
  const read = (): unknown => readConfig(schema, { RPC_PORT: "99999", MAX_LOSS_WEI: "-1", LOG_LEVEL: "loud" });
  expect(read).toThrow(FlashloanError);
  expect(read).toThrow(/4 fault\(s\)/);
  expect(read).toThrow(/RPC_PORT is "99999": must be a whole number from 1 to 65535 \(port of the server\)/);
  expect(read).toThrow(/MAX_LOSS_WEI is "-1": must be a whole, non-negative number/);
  expect(read).toThrow(/CHAIN_URL is not set: must be set \(endpoint of the node\)/);
  expect(read).toThrow(/LOG_LEVEL is "loud": must be one of info, debug/);
});

test("NAME_FILE gives NAME from a file; one that can't be read is a fault; the value is never shown", () => {
  const folder = mkdtempSync(join(tmpdir(), "config-"));
  writeFileSync(join(folder, "key"), "0xsecret\n");
  expect(readConfig(schema, { CHAIN_URL: "ws://x", SIGNER_KEY_FILE: join(folder, "key") }).SIGNER_KEY).toBe("0xsecret");
  expect(() => readConfig(schema, { CHAIN_URL: "ws://x", SIGNER_KEY_FILE: join(folder, "missing") })).toThrow(
    /SIGNER_KEY_FILE is ".*missing", which can't be read/,
  );
});
