/** What a checkpoint may hold: it must survive the wire and a restart. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** One checkpoint of a stream. */
export interface Checkpoint {
  readonly state: string;
  readonly payload: Json;
}

/** Where recovery writes before it acts, and reads after a crash. The ledger is one. */
export interface CheckpointLog {
  /** Durable once it resolves. */
  append(streamId: string, state: string, payload: Json): Promise<void>;
  /** Oldest first; empty for an unknown stream. */
  history(streamId: string): Promise<readonly Checkpoint[]>;
}

/** A log in memory that copies as the wire does; for tests and for work that need not survive its process. */
export function memoryCheckpointLog(): CheckpointLog {
  const streams = new Map<string, string[]>();
  return {
    append: async (streamId, state, payload) => {
      const stream = streams.get(streamId) ?? [];
      stream.push(JSON.stringify({ state, payload }));
      streams.set(streamId, stream);
    },
    history: async (streamId) => (streams.get(streamId) ?? []).map((line) => JSON.parse(line) as Checkpoint),
  };
}
