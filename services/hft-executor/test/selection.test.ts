import fc from "fast-check";
import { expect, test } from "vitest";
import { netWeiOf, readSelection, selectGreedily } from "../src/selection.ts";
import { offer, sequel } from "./opportunities.ts";

const ROOM = { transactionsMax: 3, gasMax: 1_000n };

test("the built-in choice takes the best first, and whatever follows and touches none of its pools, within the room", () => {
  const offered = [
    offer("a", 9, ["p", "q"]),
    offer("b", 8, ["q", "r"]),
    offer("c", 7, ["s"]),
    offer("d", 6, ["r"], 801),
  ];
  const chosenIn = (room: typeof ROOM): string[] =>
    selectGreedily({ opportunities: offered, sequels: [] }, room).map(({ id }) => id);
  expect(chosenIn(ROOM)).toEqual(["a", "c"]);
  expect(chosenIn({ ...ROOM, gasMax: 1_001n })).toEqual(["a", "c", "d"]);
  expect(chosenIn({ ...ROOM, transactionsMax: 1 })).toEqual(["a"]);
  expect(chosenIn({ ...ROOM, transactionsMax: 0 })).toEqual([]);
  expect(netWeiOf(selectGreedily({ opportunities: offered, sequels: [] }, ROOM))).toBe(16n);
});

test("a choice is read in its order, and one that can't be is named", () => {
  const offered = [
    offer("a", 9, ["p"]),
    offer("b", 8, ["p", "q", "q"]),
    offer("c", 7, ["s"]),
    offer("d", 6, ["t"], 801),
  ];
  const read = (...ids: string[]): unknown => {
    const selection = readSelection(ids, { opportunities: offered, sequels: [] }, { ...ROOM, transactionsMax: 2 });
    return "fault" in selection ? selection.fault : selection.map(({ id }) => id);
  };
  expect(read("c", "b")).toEqual(["c", "b"]);
  expect(read()).toEqual([]);
  expect(read("c", "x")).toBe("x was not offered, or is chosen twice");
  expect(read("c", "c")).toBe("c was not offered, or is chosen twice");
  expect(read("a", "b")).toBe("b changes a pool of a");
  expect(read("a", "c", "d")).toBe("3 chosen of at most 2");
  expect(read("c", "d")).toEqual(["c", "d"]);
  expect(read("d")).toEqual(["d"]);
  expect(readSelection(["c", "d"], { opportunities: offered, sequels: [] }, { ...ROOM, gasMax: 900n })).toEqual({
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
      const chosen = selectGreedily({ opportunities: offered, sequels: [] }, room);
      expect(
        readSelection(
          chosen.map(({ id }) => id),
          { opportunities: offered, sequels: [] },
          room,
        ),
      ).toEqual(chosen);
    }),
  );
});

test("one that shares a pool with one before it is read as its sequel, if it has one", () => {
  const [a, b, c] = [offer("a", 9, ["p", "q"]), offer("b", 8, ["q", "r"]), offer("c", 7, ["r", "p"])];
  const read = (ids: readonly string[], ...sequels: ReturnType<typeof sequel>[]): unknown => {
    const selection = readSelection(
      ids,
      { opportunities: [a, b, c, offer("d", 1, ["s"])], sequels },
      { ...ROOM, transactionsMax: 4 },
    );
    if ("fault" in selection) return selection.fault;
    return selection.map(({ id, opportunity, after }) => `${id} ${opportunity.netWei} ${after ?? "as found"}`);
  };
  const [ab, ba, bc, ac] = [
    sequel(a, b, 4, ["q", "r"]),
    sequel(b, a, 5, ["p", "q"]),
    sequel(b, c, 2, ["r", "p"]),
    sequel(a, c, 3, ["r", "p"]),
  ];
  expect(read(["a", "b"], ab, ba)).toEqual(["a 9 as found", "b 4 a"]);
  expect(read(["b", "a"], ab, ba)).toEqual(["b 8 as found", "a 5 b"]);
  // There is none in that order.
  expect(read(["b", "a"], ab)).toBe("a changes a pool of b");
  // Nobody has sized c on what both leave.
  expect(read(["a", "b", "c", "d"], ab, bc, ac)).toEqual(["a 9 as found", "b 4 a", "d 1 as found"]);
  expect(read(["a", "b", "c"], ab, bc)).toBe("c changes a pool of a");
  // Its sequel pays by way of another pool, which is changed as well.
  expect(read(["d", "a", "b"], sequel(a, b, 4, ["q", "s"]))).toEqual(["d 1 as found", "a 9 as found"]);
  expect(
    netWeiOf([
      { id: "b", opportunity: b },
      { id: "a", opportunity: offer("a after b", 5, ["p"]), after: "b" },
    ]),
  ).toBe(13n);
});
