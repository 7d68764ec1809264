/** The longest grace that a restart may give, in seconds. */
export const GRACE_S_MAX = 120;
/** The most log lines that one answer holds. */
export const LOG_LINES_MAX = 1_000;
/** How often the stream of events has an empty line, so that a reader can tell a quiet one from a dead one. */
export const HEARTBEAT_MS = 5_000;
