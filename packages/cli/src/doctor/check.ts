/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly result: "ok" | "warn" | "fail";
  /** What was found and, unless it is well, what to do. */
  readonly message: string;
}

/** A finding that needs nothing. */
export const ok = (name: string, message: string): Check => ({ name, result: "ok", message });
/** Works, but not in every case that matters. */
export const warn = (name: string, message: string): Check => ({ name, result: "warn", message });
/** Something will not work until it is mended. */
export const fail = (name: string, message: string): Check => ({ name, result: "fail", message });
