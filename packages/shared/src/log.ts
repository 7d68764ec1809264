import { pino, type Logger as PinoLogger, type DestinationStream } from "pino";
import { errorFields } from "./errors.ts";
import { currentSpanIds } from "./telemetry/tracing.ts";

/** A structured logger: `log.info({ ...fields }, "event_name")`. */
export type Logger = PinoLogger;

/** Field names whose values never reach a log, at any depth that we use. */
const REDACTED = [
  "privateKey",
  "*.privateKey",
  "password",
  "*.password",
  "secret",
  "*.secret",
  "authorization",
  "*.authorization",
];

/**
 * The JSON logger of a service (pino), one line an event.
 * @param level pino level; `silent` switches off
 * @param destination where lines go; standard error by default, since standard output carries the command's own events
 */
export function createLogger(
  service: string,
  level = "info",
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { service },
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: "[redacted]" },
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: errorFields },
      mixin: () => {
        const ids = currentSpanIds();
        return ids ? { trace_id: ids.traceId, span_id: ids.spanId } : {};
      },
    },
    destination,
  );
}
