import { expect, test } from "vitest";
import { fixedAngles } from "../src/fixed-angles.ts";
import { treeValue } from "../src/tree-value.ts";

// Seconds of work: 4^p histories.
test.each([
  [10, 0.87841333],
  [11, 0.88251057],
])("p = %i cuts %f of a 3-regular graph", (layers, share) => {
  expect(treeValue(fixedAngles(layers), 3)).toBeCloseTo(share, 6);
});
