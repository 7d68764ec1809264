/** Records to be appended to one stream, all or none. */
export interface AppendCommand {
  readonly streamId: string;
  /** Sequence of the stream's newest record; 0 when there is none. */
  readonly expectedSequence: bigint;
  readonly idempotencyKey: string;
  readonly records: readonly { readonly state: string; readonly terminal: boolean; readonly payload: Uint8Array }[];
  /** Of a compensation: what its one record restores, and why. */
  readonly restores?: Restored;
  /** Of a writer that leads by election: the greatest token of a scope is kept, and smaller ones are refused. */
  readonly fence?: { readonly scope: string; readonly token: bigint };
}

/** What a compensating record takes its stream back to. */
export interface Restored {
  readonly sequence: bigint;
  readonly reason: string;
}

/** A stream to be taken back to an earlier record. */
export interface RollbackCommand {
  readonly streamId: string;
  readonly toSequence: bigint;
  readonly reason: string;
  readonly idempotencyKey: string;
  readonly fence?: { readonly scope: string; readonly token: bigint };
}

/** Where an append ended up. */
export interface Appended {
  readonly sequence: bigint;
  readonly position: bigint;
  /** True when the same request had been appended before. */
  readonly repeated: boolean;
}
