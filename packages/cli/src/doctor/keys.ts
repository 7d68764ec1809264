import { readFileSync, statSync } from "node:fs";
import { fail, ok, warn, type Check } from "./check.ts";

/** Whether the operator's key is where it should be; its value is never shown. */
export function checkKey(): Check {
  if (process.env["EXECUTOR_PRIVATE_KEY"])
    return warn(
      "key",
      "EXECUTOR_PRIVATE_KEY stands in the environment, where other processes of this user can read it: put it into a file and name that with EXECUTOR_PRIVATE_KEY_FILE",
    );
  const file = process.env["EXECUTOR_PRIVATE_KEY_FILE"];
  if (!file) return ok("key", "the devnet's own");
  try {
    if (!/^0x[0-9a-fA-F]{64}$/.test(readFileSync(file, "utf8").trim()))
      return fail("key", `${file} does not hold a private key: it must be 0x and 64 hex digits`);
    const mode = statSync(file).mode & 0o077;
    if (mode !== 0) return warn("key", `others can read ${file}: chmod 600 ${file}`);
    return ok("key", `from ${file}`);
  } catch (error) {
    return fail("key", `${file} can't be read (${(error as Error).message}): change EXECUTOR_PRIVATE_KEY_FILE`);
  }
}
