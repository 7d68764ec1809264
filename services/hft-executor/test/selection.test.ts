import fc from "fast-check";
import { expect, test } from "vitest";
import { netWeiOf, readSelection, selectGreedily } from "../src/selection.ts";
import { offer } from "./opportunities.ts";

const ROOM = { transactionsMax: 3, gasMax: 1_000n };

test("the built-in choice takes the best first, and whatever follows and touches none of its pools, within the room", () => {
  const offered = [
    offer("a", 9, ["p", "q"]),
    offer("b", 8, ["q", "r"]),
    offer("c", 7, ["s"]),
    offer("d", 6, ["r"], 801),
  ];
  const chosenIn = (room: typeof ROOM): string[] => selectGreedily(offered, room).map(({ id }) => id);
  expect(chosenIn(ROOM)).toEqual(["a", "c"]);
  expect(chosenIn({ ...ROOM, gasMax: 1_001n })).toEqual(["a", "c", "d"]);
  expect(chosenIn({ ...ROOM, transactionsMax: 1 })).toEqual(["a"]);
  expect(chosenIn({ ...ROOM, transactionsMax: 0 })).toEqual([]);
  expect(netWeiOf(selectGreedily(offered, ROOM))).toBe(16n);
});

test("a choice is read in its order, and one that can't be is named", () => {
  const offered = [
    offer("a", 9, ["p"]),
    offer("b", 8, ["p", "q", "q"]),
    offer("c", 7, ["s"]),
    offer("d", 6, ["t"], 801),
  ];
  const read = (...ids: string[]): unknown => {
    const selection = readSelection(ids, offered, { ...ROOM, transactionsMax: 2 });
    return "fault" in selection ? selection.fault : selection.map(({ id }) => id);
  };
  expect(read("c", "b")).toEqual(["c", "b"]);
  expect(read()).toEqual([]);
  expect(read("c", "x")).toBe("x was not offered, or is chosen twice");
  expect(read("c", "c")).toBe("c was not offered, or is chosen twice");
  expect(read("a", "b")).toBe("pool p is changed twice");
  expect(read("a", "c", "d")).toBe("3 chosen of at most 2");
  expect(read("c", "d")).toEqual(["c", "d"]);
  expect(read("d")).toEqual(["d"]);
  expect(readSelection(["c", "d"], offered, { ...ROOM, gasMax: 900n })).toEqual({
    fault: "901 gas chosen of at most 900",
  });
});

test("what the built-in choice takes can always be read back", () => {
  const opportunities = fc
    .array(
      fc.record({
        net: fc.integer({ min: 1, max: 100 }),
        pools: fc.array(fc.constantFrom("p", "q", "r", "s", "t"), { minLength: 1, maxLength: 3 }),
        gas: fc.integer({ min: 1, max: 600 }),
      }),
      { maxLength: 12 },
    )
    .map((all) => all.map(({ net, pools, gas }, i) => offer(`o${i}`, net, pools, gas)));
  fc.assert(
    fc.property(opportunities, fc.integer({ min: 0, max: 5 }), (offered, transactionsMax) => {
      const room = { ...ROOM, transactionsMax };
      const chosen = selectGreedily(offered, room);
      expect(
        readSelection(
          chosen.map(({ id }) => id),
          offered,
          room,
        ),
      ).toEqual(chosen);
    }),
  );
});
