import type { IntentState } from "./intent.ts";

/** Where a crash campaign may kill the process: before and after every append and every side effect. */
export type FaultPoint =
  | `${"before" | "after"}_append_${IntentState | "LEAD" | "BASELINE" | "STATE" | "TRANSFER"}`
  | "before_send"
  | "after_send";
