import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { FlashloanError } from "../errors.ts";

/** How often the file that says "ready" is touched; a probe takes one older than some times that for a failure. */
const READY_TOUCH_MS = 1_000;

/**
 * Keeps a file fresh while a condition holds; without it the file grows old. A file of an earlier run is removed first.
 * @returns ends it, and removes the file
 * @throws FlashloanError config_invalid when it can't be written
 */
export function touchWhile(path: string, condition: () => boolean): () => void {
  const touch = (): void => {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch {
      writeFileSync(path, "");
    }
  };
  try {
    // Shows at the start, and not when the service is ready at last, that the folder can't be written to.
    touch();
    rmSync(path);
  } catch (cause) {
    throw new FlashloanError(
      "config_invalid",
      `READY_FILE is "${path}", which can't be written (${(cause as Error).message}): name a file in a writable folder`,
      { cause },
    );
  }
  const timer = setInterval(() => {
    if (condition()) touch();
  }, READY_TOUCH_MS);
  return () => {
    clearInterval(timer);
    rmSync(path, { force: true });
  };
}
