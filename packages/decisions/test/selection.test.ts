import fc from "fast-check";
import { expect, test } from "vitest";
import { selectOpportunities, type Opportunity, type Room, type Sequel } from "../src/selection.ts";

const AMPLE = { deadlineMs: 60_000, seed: 1, now: () => performance.now() };
const GWEI = 10n ** 9n;
const WIDE: Room = { transactionsMax: 10, gasMax: 10_000_000, liquidity: {}, riskAversion: 0 };

const opportunity = (id: string, net: number, pools: string, rest: Partial<Opportunity> = {}): Opportunity => ({
  id,
  netWei: BigInt(net) * GWEI,
  pools: pools.split(""),
  gas: 300_000,
  loan: { source: "vault:WETH", amount: 1n },
  ...rest,
});

test("two that together are worth more than the best one, which shares a pool with each", () => {
  const all = [opportunity("best", 100, "ab"), opportunity("left", 60, "a"), opportunity("right", 70, "b")];
  expect(selectOpportunities(all, [], WIDE, AMPLE)).toMatchObject({
    chosen: ["left", "right"],
    netWei: 130n * GWEI,
    provenOptimal: true,
    // Taken one after the other, the best first.
    greedy: 100,
  });
});

test("a sequel makes both possible, in its order, for what the later is then worth", () => {
  const all = [opportunity("b", 50, "p"), opportunity("a", 80, "p"), opportunity("c", 60, "p")];
  const sequels: Sequel[] = [
    { first: "b", second: "a", netWei: 20n * GWEI },
    { first: "a", second: "b", netWei: 45n * GWEI },
  ];
  const { chosen, netWei } = selectOpportunities(all, sequels, WIDE, AMPLE);
  expect([chosen, netWei]).toEqual([["a", "b"], 125n * GWEI]);
});

test("a sequel that is worth less than nothing is left out", () => {
  const all = [opportunity("a", 80, "p"), opportunity("b", 50, "p")];
  const { chosen } = selectOpportunities(all, [{ first: "a", second: "b", netWei: -GWEI }], WIDE, AMPLE);
  expect(chosen).toEqual(["a"]);
});

test("transactions, gas and liquidity bound what is chosen", () => {
  const loan = (amount: bigint) => ({ loan: { source: "vault:WETH", amount } });
  const all = [
    opportunity("a", 40, "a", { gas: 900_000, ...loan(6n) }),
    opportunity("b", 30, "b", { gas: 500_000, ...loan(5n) }),
    opportunity("c", 29, "c", { gas: 400_000, ...loan(5n) }),
    opportunity("d", 5, "d", { gas: 100_000, loan: { source: "pool:DAI", amount: 10n ** 30n } }),
  ];
  const chosen = (room: Partial<Room>): readonly string[] =>
    selectOpportunities(all, [], { ...WIDE, ...room }, AMPLE).chosen;
  expect(chosen({ transactionsMax: 2 })).toEqual(["a", "b"]);
  expect(chosen({ gasMax: 1_000_000 })).toEqual(["b", "c", "d"]);
  expect(chosen({ liquidity: { "vault:WETH": 10n } })).toEqual(["b", "c", "d"]);
  expect(chosen({ liquidity: { "vault:WETH": 0n } })).toEqual(["d"]);
  expect(chosen({ transactionsMax: 0 })).toEqual([]);
});

test("those that fail together are worth less together, by how much risk counts", () => {
  const failure = { group: "token X", chance: 0.5, costWei: 30n * GWEI };
  const all = [
    opportunity("a", 50, "a", { failure }),
    opportunity("b", 20, "b", { failure }),
    opportunity("c", 10, "c"),
  ];
  expect(selectOpportunities(all, [], WIDE, AMPLE).chosen).toEqual(["a", "b", "c"]);
  expect(selectOpportunities(all, [], { ...WIDE, riskAversion: 1 }, AMPLE).chosen).toEqual(["a", "c"]);
});

const anyBlock = fc.array(
  fc.record({
    net: fc.integer({ min: -5, max: 50 }),
    pools: fc.subarray(["p", "q", "r", "s"], { minLength: 1 }),
    gas: fc.integer({ min: 1, max: 5 }),
    amount: fc.integer({ min: 0, max: 8 }),
  }),
  { maxLength: 7 },
);

test("of every set that fits the one that is worth most, to the wei", () => {
  fc.assert(
    fc.property(
      anyBlock,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 15 }),
      (block, gasMax, liquidity) => {
        const all = block.map(({ net, pools, gas, amount }, i) =>
          opportunity(`${i}`, net, pools.join(""), { gas, loan: { source: "v", amount: BigInt(amount) } }),
        );
        let best = 0n;
        for (let bits = 0; bits < 2 ** all.length; bits++) {
          const set = all.filter((_, i) => (bits >> i) & 1);
          const pools = set.flatMap((each) => each.pools);
          const gas = set.reduce((sum, each) => sum + each.gas, 0);
          const borrowed = set.reduce((sum, each) => sum + each.loan.amount, 0n);
          if (new Set(pools).size < pools.length || gas > gasMax || borrowed > BigInt(liquidity) || set.length > 4)
            continue;
          const net = set.reduce((sum, each) => sum + each.netWei, 0n);
          if (net > best) best = net;
        }
        const room = { transactionsMax: 4, gasMax, liquidity: { v: BigInt(liquidity) }, riskAversion: 0 };
        const { netWei, provenOptimal } = selectOpportunities(all, [], room, AMPLE);
        expect([netWei, provenOptimal]).toEqual([best, true]);
      },
    ),
    { numRuns: 200 },
  );
});

test.each([
  [[opportunity("a", 1, "p"), opportunity("a", 1, "p")], [], {}, /opportunity a is given twice/],
  [[opportunity("a", 1, "p", { gas: Number.NaN })], [], {}, /opportunity a: gas is NaN/],
  [[opportunity("a", 1, "p")], [{ first: "a", second: "b", netWei: 1n }], {}, /a sequel names a and b/],
  [[], [], { gasMax: -1 }, /gasMax -1/],
] as const)("refuses what can't be meant: %#", (all, sequels, room, message) => {
  expect(() => selectOpportunities(all, sequels, { ...WIDE, ...room }, AMPLE)).toThrow(message);
});
