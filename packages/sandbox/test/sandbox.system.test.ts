import { expect, test } from "vitest";
import { openBwrapSandbox } from "../src/bwrap.ts";
import { openSandbox } from "../src/open.ts";
import { sandboxContract } from "./contract.ts";

// What the port promises, on bubblewrap.
const sandbox = await openSandbox("bwrap:");
sandboxContract(() => sandbox);

test("without bubblewrap nothing runs, and the error says what to install", async () => {
  expect(() => openBwrapSandbox({ bwrap: "/nonexistent/bwrap" })).toThrow("apt-get install bubblewrap");
  await expect(openSandbox("none:")).rejects.toMatchObject({ code: "config_invalid" });
});
