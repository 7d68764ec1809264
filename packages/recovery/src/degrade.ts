import { toFlashloanError, type ErrorCode } from "@flashloan/shared/errors";
import { reporter, type Guarded, type Work } from "./pattern.ts";

/** An answer that says of itself whether it is the real one. */
export type Labelled<T> =
  | { readonly value: T; readonly degraded: false }
  | { readonly value: T; readonly degraded: true; readonly reason: ErrorCode };

/** Answers with less when the real answer can't be had, labelled so that nobody takes the one for the other. */
export async function degrade<T>(
  options: Guarded & {
    readonly work: Work<T>;
    /** The lesser answer: a stale, a coarse or an empty one. What it throws is thrown. */
    readonly lesser: (error: unknown) => T | Promise<T>;
    readonly signal?: AbortSignal;
  },
): Promise<Labelled<T>> {
  const { signal = new AbortController().signal } = options;
  try {
    return { value: await options.work(signal), degraded: false };
  } catch (error) {
    if (signal.aborted) throw error;
    const value = await options.lesser(error);
    reporter("degrade", options)("degraded");
    return { value, degraded: true, reason: toFlashloanError(error).code };
  }
}
