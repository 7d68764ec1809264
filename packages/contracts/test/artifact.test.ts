import { Interface } from "ethers";
import { expect, test } from "vitest";
import { executorArtifact } from "../src/artifact.ts";
import { EXECUTE_SELECTOR } from "../src/encode.ts";
import { EXECUTED_TOPIC } from "../src/events.ts";
import { sourceHash } from "../tools/compilation.ts";

const artifact = executorArtifact();
const abi = new Interface(artifact.abi);

/** EIP-170. */
const codeBytesMax = 24_576;

test("the committed artifact is what the sources compile to", () => {
  expect(artifact.sourceHash, "run `node tools/build.ts`").toBe(sourceHash());
});

test("the code fits on a chain and can be deployed with seven addresses", () => {
  expect((artifact.deployedBytecode.length - 2) / 2).toBeLessThanOrEqual(codeBytesMax);
  expect(artifact.bytecode).toMatch(/^0x[0-9a-f]+$/);
  expect(abi.deploy.inputs.map((input) => `${input.type} ${input.name}`)).toEqual([
    "address owner_",
    "address operator",
    "address treasury_",
    "address weth",
    "address balancerVault",
    "address aavePool",
    "address v4PoolManager",
  ]);
});

test("the constants of the encoder and decoder are those of the ABI", () => {
  expect(EXECUTE_SELECTOR).toBe(abi.getFunction("execute")?.selector);
  expect(EXECUTED_TOPIC).toBe(abi.getEvent("Executed")?.topicHash);
});

test("nothing that a stranger could call is missing from the list of what the tests cover", () => {
  const writing = artifact.abi
    .filter((entry) => entry.type === "function" && entry.stateMutability !== "view")
    .map((entry) => entry.name);
  expect(new Set(writing)).toEqual(
    new Set([
      "acceptOwnership",
      "execute",
      "executeOperation",
      "receiveFlashLoan",
      "rescue",
      "setCoinbaseCap",
      "setHooksAllowed",
      "setOperator",
      "setPaused",
      "setTreasury",
      "sweep",
      "transferOwnership",
      "uniswapV2Call",
      "uniswapV3FlashCallback",
      "uniswapV3SwapCallback",
      "unlockCallback",
    ]),
  );
});
