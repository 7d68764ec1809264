import type { Restored } from "./append.ts";

/** One record, as committed. */
export interface LedgerRecord {
  readonly position: bigint;
  readonly streamId: string;
  readonly sequence: bigint;
  readonly state: string;
  readonly terminal: boolean;
  readonly payload: Uint8Array;
  readonly committedAtMs: number;
  /** Of a compensating record. */
  readonly restores: Restored | undefined;
  /** Of the snapshot of a compacted stream: records before it that are gone. */
  readonly compactedRecords: bigint;
}
