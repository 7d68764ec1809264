import type { Language, Limits, RunResult } from "../../src/port.ts";

/** What a case may aim at; all of it lies outside of the sandbox and is watched from there. */
export interface World {
  readonly folder: string;
  readonly secretFile: string;
  readonly tcpPort: number;
  readonly udpPort: number;
  readonly unixSocket: string;
  readonly abstractSocket: string;
  readonly victimPid: number;
  /** Seconds to sleep: a figure that no other process has, so that one left behind is found. */
  readonly sleepS: string;
}

/** One attempt to get out. */
export interface EscapeCase {
  readonly name: string;
  readonly language: Language;
  readonly code: (world: World) => string;
  readonly limits?: Partial<Limits>;
  /** Unconfined it would harm the machine: only its bounds are looked at. Every other must succeed unconfined. */
  readonly harmful?: true;
  /** What must be true of the result as well. */
  readonly bounds?: (result: RunResult) => boolean;
}
