import { FlashloanError } from "../errors.ts";
import { FEED_ENTRY_BYTES_MAX, type FeedStart } from "../ports/live-feed.ts";

/** Refuses what not every adapter could carry. @throws FlashloanError argument_invalid, payload_too_large */
export function assertEntry(topic: string, text: string): void {
  if (!/^[a-z0-9-]{1,64}$/.test(topic))
    throw new FlashloanError(
      "argument_invalid",
      `topic "${topic}" must be 1 to 64 lower-case letters, digits and dashes`,
    );
  const bytes = Buffer.byteLength(text);
  if (bytes > FEED_ENTRY_BYTES_MAX)
    throw new FlashloanError("payload_too_large", `the entry is ${bytes} bytes; at most ${FEED_ENTRY_BYTES_MAX}`);
}

/** The id after which a reader begins; undefined: after the newest. @throws FlashloanError argument_invalid */
export function startId(start: FeedStart): string | undefined {
  if (start === "new") return undefined;
  if (start === "oldest") return "0-0";
  if (!/^\d{1,20}-\d{1,20}$/.test(start.after))
    throw new FlashloanError("argument_invalid", `after "${start.after}" must be the id of an earlier entry`);
  return start.after;
}
