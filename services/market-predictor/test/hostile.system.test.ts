import { z } from "zod";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readArtifact } from "@flashloan/devnet/artifacts";
import type { Contract } from "@flashloan/devnet/deployer";
import { HOSTILE_ANSWER, readHostileArtifact } from "@flashloan/devnet/hostile";
import type { Hex } from "@flashloan/evm/hex";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import {
  differences,
  startTestChain,
  startTestFeed,
  type TestChain,
  type TestFeed,
  type TestFeedOptions,
} from "./devnet.ts";
import { mine, tradeEverywhere } from "./trades.ts";

const UNIT = 10n ** 18n;
const MAX_RESERVE = (1n << 112n) - 1n;
/** The honest pools of the deployment. */
const HONEST = 22;

let lifecycle = new Lifecycle();
let chain: TestChain;
beforeEach(async () => {
  chain = await startTestChain(lifecycle);
});
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** A pair of WETH and a token in an honest factory, with ten of one against a thousand of the other. */
async function pairWith(token: Contract, tokenAmount = 1_000n * UNIT): Promise<Contract> {
  const { deployer, deployment } = chain;
  const factory = deployer.at(
    deployment.uniswapV2[0]?.factory,
    readArtifact("@uniswap/v2-core/build/UniswapV2Factory.json").abi,
  );
  await deployer.send(factory, "createPair", [token.address, deployment.weth]);
  const [address] = await deployer.read(factory, "getPair", [token.address, deployment.weth]);
  const pair = deployer.at(address, readArtifact("@uniswap/v2-core/build/UniswapV2Pair.json").abi);
  await deployer.send(token, "mint", [pair.address, tokenAmount]);
  await deployer.send(wethContract(), "transfer", [pair.address, 10n * UNIT]);
  await deployer.send(pair, "mint", [deployer.account]);
  return pair;
}

function wethContract(): Contract {
  return chain.deployer.at(chain.deployment.weth, ["function transfer(address,uint256) returns (bool)"]);
}

function deployToken(decimals: number, feeBps = 0): Promise<Contract> {
  return chain.deployer.deploy(readHostileArtifact("HostileToken"), decimals, feeBps);
}

/** A hostile factory that the predictor trusts, and a pair of it that is backed by what it claims. */
async function hostilePair(): Promise<{
  factory: Contract;
  pair: Contract;
  token: Contract;
  options: TestFeedOptions;
}> {
  const { deployer, deployment, venues } = chain;
  const factory = await deployer.deploy(readHostileArtifact("HostileFactory"));
  const token = await deployToken(18);
  const receipt = await deployer.send(factory, "createPair", [token.address, deployment.weth]);
  const created = receipt.logs.map((log) => factory.abi.parseLog(log)).find((event) => event?.name === "PairCreated");
  const pair = deployer.at(created?.args["pair"], readHostileArtifact("HostilePair").abi);
  await deployer.send(token, "mint", [pair.address, 1_000n * UNIT]);
  await deployer.send(wethContract(), "transfer", [pair.address, 10n * UNIT]);
  await deployer.send(pair, "sync", []);
  return {
    factory,
    pair,
    token,
    options: { venues: { ...venues, uniswapV2: [...venues.uniswapV2, { factory: factory.address, feePpm: 3_000 }] } },
  };
}

/** The others are watched, and stay exact. */
async function expectOthersUnharmed(fixture: TestFeed): Promise<void> {
  await tradeEverywhere(chain);
  await fixture.catchesUp();
  expect(fixture.feed.book.size).toBeGreaterThanOrEqual(HONEST);
  const wrong = Object.keys(await differences(chain, fixture));
  expect(wrong.filter((id) => !fixture.feed.book.quarantined.has(id as Hex))).toEqual([]);
}

describe("a token", () => {
  test.each([0, 6, 36])("with %d decimals is traded like any other", async (decimals) => {
    const token = await deployToken(decimals);
    const pair = await pairWith(token, decimals === 36 ? 10n ** 33n : 1_000n * 10n ** BigInt(decimals));
    const fixture = await startTestFeed(lifecycle, chain);
    expect(fixture.feed.book.quarantined.size).toBe(0);
    expect(fixture.feed.book.pool(pair.address)).toBeDefined();
    await expectOthersUnharmed(fixture);
  });

  test("that takes a fee on transfer is found before it is traded, also when its pair comes later", async () => {
    const early = await pairWith(await deployToken(18, 100));
    const fixture = await startTestFeed(lifecycle, chain);
    expect(fixture.feed.book.quarantined.get(early.address)).toMatch(
      /takes a fee on transfer: of \d+ sent, \d+ arrived/,
    );
    const late = await pairWith(await deployToken(18, 3));
    await fixture.catchesUp();
    expect([...fixture.feed.book.quarantined.keys()].sort()).toEqual([early.address, late.address].sort());
    expect(fixture.feed.book.size).toBe(HONEST);
    await expectOthersUnharmed(fixture);
  });

  test("that begins to take a fee is found by the self-check", async () => {
    const token = await deployToken(18);
    const pair = await pairWith(token);
    const fixture = await startTestFeed(lifecycle, chain, { selfCheckBlocks: 1 });
    expect(fixture.feed.book.pool(pair.address)).toBeDefined();
    await chain.deployer.send(token, "setFee", [50]);
    await mine(chain, 2);
    await fixture.catchesUp();
    expect(fixture.feed.book.quarantined.get(pair.address)).toContain("takes a fee on transfer");
    await expectOthersUnharmed(fixture);
  });

  test.each([
    ["revert", /^balanceOf of 0x[0-9a-f]{40} fails \(/],
    ["garbage", /^balanceOf of 0x[0-9a-f]{40} answers 0xffffffffffffff$/],
    ["burnAllGas", /^balanceOf of 0x[0-9a-f]{40} fails \(/],
  ] as const)("whose balanceOf does %s has its pair set aside", async (answer, reason) => {
    const token = await deployToken(18);
    const pair = await pairWith(token);
    await chain.deployer.send(token, "setAnswer", [HOSTILE_ANSWER[answer]]);
    const fixture = await startTestFeed(lifecycle, chain);
    expect(fixture.feed.book.quarantined.get(pair.address)).toMatch(reason);
    await expectOthersUnharmed(fixture);
    // The pair is tried again at its next event, and taken once its token behaves.
    await chain.deployer.send(token, "setAnswer", [HOSTILE_ANSWER.honest]);
    await chain.deployer.send(pair, "sync", []);
    await fixture.catchesUp();
    expect(fixture.feed.book.pool(pair.address)).toBeDefined();
    expect(fixture.feed.book.quarantined.size).toBe(0);
  });
});

describe("a pair", () => {
  test("that is honest is watched, whoever announced it", async () => {
    const { pair, options } = await hostilePair();
    const fixture = await startTestFeed(lifecycle, chain, options);
    expect(fixture.feed.book.pool(pair.address)).toBeDefined();
    expect(fixture.feed.book.quarantined.size).toBe(0);
  });

  test("that claims more than it holds is set aside, at the start and later", async () => {
    const { pair, options } = await hostilePair();
    await chain.deployer.send(pair, "claim", [2_000n * UNIT, 20n * UNIT]);
    const fixture = await startTestFeed(lifecycle, chain, { ...options, selfCheckBlocks: 1 });
    expect(fixture.feed.book.quarantined.get(pair.address)).toMatch(
      /claims a reserve of \d+ of 0x[0-9a-f]{40}, but holds \d+/,
    );
    await chain.deployer.send(pair, "sync", []);
    await fixture.catchesUp();
    expect(fixture.feed.book.quarantined.size).toBe(0);
    await chain.deployer.send(pair, "claim", [1_001n * UNIT, 10n * UNIT]);
    await mine(chain, 2);
    await fixture.catchesUp();
    expect(fixture.feed.book.quarantined.get(pair.address)).toMatch(/claims a reserve/);
    await expectOthersUnharmed(fixture);
  });

  test("that says one thing by event and another when asked is found by the self-check", async () => {
    const { pair, options } = await hostilePair();
    const fixture = await startTestFeed(lifecycle, chain, { ...options, selfCheckBlocks: 1 });
    await chain.deployer.send(pair, "pretend", [5_000n * UNIT, 1n * UNIT]);
    await mine(chain, 2);
    await fixture.catchesUp();
    expect(fixture.feed.counters.selfCheckDifferences).toBe(1);
    expect(await differences(chain, fixture)).toEqual({});
  });

  test.each([
    [0, /refuses a swap of \d+ of 0x.* promises .*\(.*\)/],
    [5_000, /pays \d+ of 0x[0-9a-f]{40} where its state promises \d+/],
  ])("that pays %d basis points of what it owes is set aside", async (payoutBps, reason) => {
    const { pair, options } = await hostilePair();
    await chain.deployer.send(pair, "setPayout", [payoutBps]);
    const fixture = await startTestFeed(lifecycle, chain, options);
    expect(fixture.feed.book.quarantined.get(pair.address)).toMatch(reason);
    await expectOthersUnharmed(fixture);
  });

  test("of a fork with a higher fee than configured is set aside, and the reason says what to look at", async () => {
    const { venues } = chain;
    const [first, ...others] = venues.uniswapV2;
    if (!first) throw new Error("the deployment has no Uniswap V2");
    const fixture = await startTestFeed(lifecycle, chain, {
      venues: { ...venues, uniswapV2: [{ ...first, feePpm: 2_000 }, ...others] },
    });
    expect(fixture.feed.book.quarantined.size).toBe(6);
    for (const reason of fixture.feed.book.quarantined.values())
      expect(reason).toMatch(/\(UniswapV2: K\): is its factory's fee configured right\?$/);
  });

  test("with absurd reserves does no harm", async () => {
    const token = await deployToken(18);
    const { pair, options, token: other } = await hostilePair();
    await chain.deployer.send(other, "mint", [pair.address, MAX_RESERVE - 1_000n * UNIT]);
    await chain.deployer.send(pair, "sync", []);
    const honest = await pairWith(token, MAX_RESERVE);
    const fixture = await startTestFeed(lifecycle, chain, options);
    await expectOthersUnharmed(fixture);
    // One wei, and all that a reserve can hold.
    await chain.deployer.send(pair, "claim", [1n, MAX_RESERVE]);
    await chain.deployer.send(pair, "claim", [MAX_RESERVE, 1n]);
    await chain.deployer.send(pair, "claim", [0n, 0n]);
    await expectOthersUnharmed(fixture);
    expect(fixture.feed.book.pool(pair.address)).toBeUndefined();
    for (const { outcome } of fixture.reports)
      expect(outcome.pools.filter((id) => id === pair.address || id === honest.address)).toEqual([]);
  });

  test("that is no contract, or announced by an event that is cut short, does no harm", async () => {
    const { factory, options } = await hostilePair();
    const { deployer, deployment } = chain;
    const nobody = `0x${"ab".repeat(20)}`;
    await deployer.send(factory, "announce", [deployment.weth, deployment.aave.pool, nobody]);
    // WETH says nothing to getReserves: its fallback takes it for a deposit.
    await deployer.send(factory, "announce", [deployment.weth, deployment.aave.pool, deployment.weth]);
    for (const bytes of [0, 5, 32]) await deployer.send(factory, "announceGarbage", [bytes]);
    const fixture = await startTestFeed(lifecycle, chain, options);
    expect(Object.fromEntries(fixture.feed.book.quarantined)).toEqual({
      [deployment.weth]: `getReserves of ${deployment.weth} answers 0x`,
      [nobody]: `getReserves of ${nobody} answers 0x`,
    });
    for (const bytes of [0, 5, 32]) await deployer.send(factory, "announceGarbage", [bytes]);
    await expectOthersUnharmed(fixture);
  });

  test("that is set aside stays so over a reorganisation that does not concern it", async () => {
    const pair = await pairWith(await deployToken(18, 100));
    const fixture = await startTestFeed(lifecycle, chain);
    await tradeEverywhere(chain);
    await fixture.catchesUp();
    await chain.rpc.request("anvil_rollback", [5], z.unknown());
    await mine(chain);
    await fixture.catchesUp();
    expect([...fixture.feed.book.quarantined.keys()]).toEqual([pair.address]);
    expect(fixture.feed.book.pool(pair.address)).toBeUndefined();
  });
});
