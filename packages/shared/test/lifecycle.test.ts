import { expect, test } from "vitest";
import { Lifecycle } from "../src/lifecycle.ts";

test("parts stop in reverse, once, and a failure does not keep the others running", async () => {
  const order: string[] = [];
  const lifecycle = new Lifecycle();
  for (const name of ["first", "second", "third"])
    lifecycle.onStop(name, () => {
      order.push(name);
      if (name === "second") throw new Error("second failed");
    });
  const [one, other] = await Promise.allSettled([lifecycle.stop(), lifecycle.stop()]);
  expect(order).toEqual(["third", "second", "first"]);
  expect(one).toMatchObject({ status: "rejected", reason: { message: "second failed" } });
  expect(other.status).toBe("rejected");
});

test("nothing can be started while stopping", async () => {
  const lifecycle = new Lifecycle();
  await lifecycle.stop();
  expect(() => lifecycle.onStop("late", () => undefined)).toThrow(/"late" was started while stopping/);
});
