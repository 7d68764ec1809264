/** Why the proxy does not do what it is asked, with the HTTP status that says so. */
export const REFUSALS = {
  not_allowed: 403,
  argument_invalid: 400,
  not_found: 404,
  payload_too_large: 413,
  queue_full: 429,
  engine_refused: 502,
  engine_unreachable: 503,
  deadline_exceeded: 504,
} as const;
/** @see REFUSALS */
export type RefusalCode = keyof typeof REFUSALS;

/** A request that is answered with an error. Its message goes to the client: it never quotes what the engine said of others. */
export class Refusal extends Error {
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "Refusal";
    this.code = code;
  }
}
