import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig } from "@flashloan/shared/config";
import { predictorConfigSchema } from "../src/config.ts";

const folder = mkdtempSync(join(tmpdir(), "flashloan-predictor-"));
afterAll(() => rmSync(folder, { recursive: true }));

const address = (digit: string): string => `0x${digit.repeat(40)}`;
const venues = {
  weth: address("1"),
  uniswapV2: [{ factory: address("A"), feePpm: 3_000 }],
  uniswapV3: [],
  fromBlock: 0,
};
const environment = { PREDICTOR_CHAIN_URL: "ws://127.0.0.1:8545", PREDICTOR_VENUES: JSON.stringify(venues) };

function faultOf(changes: Readonly<Record<string, string>>): string {
  try {
    readConfig(predictorConfigSchema, { ...environment, ...changes });
  } catch (error) {
    return (error as Error).message;
  }
  return "no fault";
}

test("takes venues as JSON or from a file, addresses in lower case", () => {
  const file = join(folder, "venues.json");
  writeFileSync(file, JSON.stringify(venues));
  const inline = readConfig(predictorConfigSchema, environment);
  expect(inline.PREDICTOR_VENUES).toEqual({ ...venues, uniswapV2: [{ factory: address("a"), feePpm: 3_000 }] });
  expect(readConfig(predictorConfigSchema, { ...environment, PREDICTOR_VENUES: file })).toEqual(inline);
});

test.each<[Record<string, string>, RegExp]>([
  [{ PREDICTOR_VENUES: "" }, /PREDICTOR_VENUES/],
  [{ PREDICTOR_VENUES: "{" }, /PREDICTOR_VENUES.*neither JSON nor a readable JSON file/s],
  [{ PREDICTOR_VENUES: join(folder, "nowhere.json") }, /PREDICTOR_VENUES.*ENOENT/s],
  [{ PREDICTOR_VENUES: JSON.stringify({ ...venues, weth: "0x12" }) }, /weth: must be a 20-byte hex address/],
  [
    { PREDICTOR_VENUES: JSON.stringify({ ...venues, uniswapV2: [{ factory: address("1"), feePpm: 1e9 }] }) },
    /uniswapV2\.0\.feePpm/,
  ],
  [{ PREDICTOR_VENUES: JSON.stringify({ ...venues, unknown: 1 }) }, /unknown/],
  [{ PREDICTOR_PORT: "70000" }, /PREDICTOR_PORT.*70000/s],
  [{ PREDICTOR_CHAIN_ID: "one" }, /PREDICTOR_CHAIN_ID/],
  [{ PREDICTOR_VALID_BLOCKS: "0" }, /PREDICTOR_VALID_BLOCKS/],
  [{ PREDICTOR_SELF_CHECK_POOLS: "-1" }, /PREDICTOR_SELF_CHECK_POOLS/],
])("names what is wrong (%#)", (changes, fault) => {
  expect(faultOf(changes)).toMatch(fault);
});

test("names all faults at once", () => {
  const fault = faultOf({ PREDICTOR_VENUES: "{}", PREDICTOR_PORT: "x", PREDICTOR_CHAIN_ID: "0" });
  for (const name of ["PREDICTOR_VENUES", "PREDICTOR_PORT", "PREDICTOR_CHAIN_ID"]) expect(fault).toContain(name);
});
