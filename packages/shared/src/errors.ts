import { status } from "@grpc/grpc-js";

/**
 * Every way in which the platform fails, once. `grpc` is the status it travels as; `retryable` whether the very
 * same request may succeed later. docs/errors.md explains each code to an operator.
 */
export const ERROR_CODES = {
  config_invalid: { grpc: status.INVALID_ARGUMENT, retryable: false },
  argument_invalid: { grpc: status.INVALID_ARGUMENT, retryable: false },
  not_found: { grpc: status.NOT_FOUND, retryable: false },
  port_taken: { grpc: status.UNAVAILABLE, retryable: false },
  data_folder_unusable: { grpc: status.FAILED_PRECONDITION, retryable: false },
  data_folder_locked: { grpc: status.FAILED_PRECONDITION, retryable: false },
  chain_mismatch: { grpc: status.FAILED_PRECONDITION, retryable: false },
  chain_unreachable: { grpc: status.UNAVAILABLE, retryable: true },
  chain_response_invalid: { grpc: status.UNAVAILABLE, retryable: true },
  chain_rejected: { grpc: status.FAILED_PRECONDITION, retryable: false },
  sequence_conflict: { grpc: status.ABORTED, retryable: false },
  fenced: { grpc: status.FAILED_PRECONDITION, retryable: false },
  history_compacted: { grpc: status.FAILED_PRECONDITION, retryable: false },
  idempotency_conflict: { grpc: status.ALREADY_EXISTS, retryable: false },
  payload_too_large: { grpc: status.RESOURCE_EXHAUSTED, retryable: false },
  queue_full: { grpc: status.RESOURCE_EXHAUSTED, retryable: true },
  deadline_exceeded: { grpc: status.DEADLINE_EXCEEDED, retryable: true },
  service_unavailable: { grpc: status.UNAVAILABLE, retryable: true },
  circuit_open: { grpc: status.UNAVAILABLE, retryable: true },
  alternatives_exhausted: { grpc: status.UNAVAILABLE, retryable: true },
  saga_rolled_back: { grpc: status.ABORTED, retryable: false },
  compensation_failed: { grpc: status.INTERNAL, retryable: false },
  quarantined: { grpc: status.FAILED_PRECONDITION, retryable: false },
  sandbox_unavailable: { grpc: status.FAILED_PRECONDITION, retryable: false },
  service_stopping: { grpc: status.UNAVAILABLE, retryable: true },
  key_refused: { grpc: status.FAILED_PRECONDITION, retryable: false },
  not_armed: { grpc: status.FAILED_PRECONDITION, retryable: false },
  trading_paused: { grpc: status.FAILED_PRECONDITION, retryable: false },
  trading_killed: { grpc: status.FAILED_PRECONDITION, retryable: false },
  trades_not_settled: { grpc: status.DEADLINE_EXCEEDED, retryable: false },
  reconciliation_failed: { grpc: status.DATA_LOSS, retryable: false },
  restarts_exhausted: { grpc: status.INTERNAL, retryable: false },
  devnet_failed: { grpc: status.INTERNAL, retryable: false },
  internal: { grpc: status.INTERNAL, retryable: false },
} as const satisfies Record<string, { grpc: status; retryable: boolean }>;

/** The name of one way in which the platform fails. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Facts about a failure, by field name; shown to operators, so never a secret. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | bigint>>;

/** The one error shape of the platform. `message` says what is wrong and, where there is a cure, what to do. */
export class FlashloanError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "FlashloanError";
    this.code = code;
    this.details = options.details ?? {};
    this.retryable = ERROR_CODES[code].retryable;
  }

  /** Where docs explain this code. */
  get docs(): string {
    return `docs/errors.md#${this.code.replaceAll("_", "-")}`;
  }
}

/** Any thrown value as a FlashloanError: ours as they are, everything else as `internal` with its cause kept. */
export function toFlashloanError(error: unknown): FlashloanError {
  if (error instanceof FlashloanError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FlashloanError("internal", message, { cause: error });
}

/** Statuses by which a service says that the fault is its own. */
const FAILURES: ReadonlySet<status> = new Set([
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.DATA_LOSS,
]);

/** Whether a service could not do what was asked, rather than would not. */
export function isFailure(error: FlashloanError): boolean {
  return FAILURES.has(ERROR_CODES[error.code].grpc);
}

/** An error as plain fields for a log line or a JSON event; bigint details become decimal strings. */
export function errorFields(error: unknown): Record<string, unknown> {
  const known = toFlashloanError(error);
  const details = Object.fromEntries(
    Object.entries(known.details).map(([name, value]) => [name, typeof value === "bigint" ? value.toString() : value]),
  );
  const fields: Record<string, unknown> = {
    code: known.code,
    message: known.message,
    retryable: known.retryable,
    docs: known.docs,
  };
  if (Object.keys(details).length > 0) fields["details"] = details;
  if (known.code === "internal") fields["stack"] = (known.cause instanceof Error ? known.cause : known).stack;
  return fields;
}
