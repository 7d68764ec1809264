import { expect, test } from "vitest";
import type { Cache } from "../../src/ports/cache.ts";
import { newScope } from "./scope.ts";

/** What every Cache adapter must do. */
export function cacheContract(name: string, open: () => Promise<Cache>): void {
  test(`${name}: keeps, replaces and deletes`, async () => {
    const cache = await open();
    const key = newScope();
    expect(await cache.get(key)).toBeUndefined();
    await cache.set(key, "one", 60_000);
    await cache.set(key, "two €", 60_000);
    expect(await cache.get(key)).toBe("two €");
    await cache.delete(key);
    expect(await cache.get(key)).toBeUndefined();
    await cache.stop();
  });

  test(`${name}: entries expire`, async () => {
    const cache = await open();
    const key = newScope();
    await cache.set(key, "v", 30);
    await expect.poll(() => cache.get(key), { timeout: 5_000 }).toBeUndefined();
    await cache.stop();
  });

  test(`${name}: a counter adds up, and its life starts with its first addition`, async () => {
    const cache = await open();
    const key = newScope();
    expect(await cache.increment(key, 2, 500)).toBe(2);
    expect(await cache.increment(key, -2, 60_000)).toBe(0);
    // The same value as after the first addition is not the first addition.
    expect(await cache.increment(key, 2, 60_000)).toBe(2);
    await expect.poll(() => cache.get(key), { timeout: 10_000 }).toBeUndefined();
    expect(await cache.increment(key, 1, 60_000)).toBe(1);
    await cache.stop();
  });

  test(`${name}: additions of many callers at once are all counted`, async () => {
    const cache = await open();
    const key = newScope();
    const values = await Promise.all(Array.from({ length: 100 }, () => cache.increment(key, 1, 60_000)));
    expect(values.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    await cache.stop();
  });

  test(`${name}: says that it is there and has missed nothing`, async () => {
    const cache = await open();
    await cache.get(newScope());
    expect(await cache.isReachable()).toBe(true);
    expect(cache.missed()).toBe(0);
    await cache.stop();
  });
}
