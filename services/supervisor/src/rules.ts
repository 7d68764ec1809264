import type { Calls, Conclusion, Conversation, RuleBook } from "@flashloan/chat-model/rules";
import { z } from "zod";
import {
  DIAGNOSIS_NAME,
  EXPLANATION_CHARS_MAX,
  evidenceLines,
  incidentOf,
  MESSAGE_CHARS_MAX,
  parseJson,
  STACK_CHARS_MAX,
  type Diagnosis,
  type Facts,
  type IncidentBrief,
  type Source,
} from "./findings.ts";

/** Earlier incidents and restarts from which another restart of the same kind is not worth trying. */
const REPEATS_MAX = 3;
/** An event loop that is later than this answers no health check in time. */
const LOOP_BLOCKED_S = 1;
/** An event loop that is later than this has more to do than it can. */
const LOOP_LATE_S = 0.2;
/** Log lines that `recent_logs` is asked for. */
const LOG_LINES = 200;
const QUOTE_CHARS_MAX = 300;

/** Codes with which a service says that it can't work as it is set up. */
const CONFIGURATION_CODES: ReadonlySet<string> = new Set([
  "config_invalid",
  "key_refused",
  "chain_mismatch",
  "data_folder_unusable",
]);
const DEPENDENCY_CODES: ReadonlySet<string> = new Set([
  "service_unavailable",
  "chain_unreachable",
  "chain_response_invalid",
]);
const CONFIGURATION = /The configuration has \d{1,4} fault\(s\)/;
const OUT_OF_MEMORY =
  /heap out of memory|ERR_WORKER_OUT_OF_MEMORY|Reached heap limit|OOMKilled|out of memory: kill|cannot allocate memory|\bENOMEM\b/i;
const KILLED = /\b(?:exit(?:ed)?(?: with)?(?: code| status)?|code) ?137\b|SIGKILL/i;
const PORT_TAKEN = /\bEADDRINUSE\b|port is already allocated|address already in use/i;
const INFRASTRUCTURE =
  /\bENOSPC\b|no space left on device|\bEROFS\b|\bEMFILE\b|\bEIO\b|read-only file system|cannot connect to the docker daemon|no such image|manifest unknown|pull access denied|no suitable node/i;
const UNREACHABLE =
  /\bECONNREFUSED\b|\bENOTFOUND\b|\bEAI_AGAIN\b|\bEHOSTUNREACH\b|\bENETUNREACH\b|\bECONNRESET\b|\bETIMEDOUT\b|14 UNAVAILABLE/;
const OVERLOAD = /"code":"(?:queue_full|payload_too_large)"|RESOURCE_EXHAUSTED|too many clients|too many connections/;
/** A line of a stack in the platform's own code, whether it runs from source or built. */
const OWN_FRAME =
  /(?:^|[\s(/])((?:packages|services)\/[a-z0-9-]{1,64}\/(?:dist\/)?src\/[\w./-]{1,200}?\.(?:ts|js|mjs)):(\d{1,6})/;

/** A failure that a log tells of. */
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly stack: string;
  /** It ended the process. */
  readonly fatal: boolean;
  /** Number of its last log line. */
  readonly at: number;
}

/** All that rules look at. */
interface Reading {
  readonly incident: IncidentBrief;
  readonly facts: Facts;
  readonly metrics: ReadonlyMap<string, number>;
  /** Of the last run, newest first. */
  readonly failures: readonly Failure[];
  /** The incident's reason and the log lines of the last run, newest first. */
  readonly lines: readonly string[];
  /** Earlier incidents and restarts within this one. */
  readonly repeats: number;
}

/** The rules' order is their precedence: the more a sign proves, the earlier it is looked for. */
const RULES: readonly ((reading: Reading) => Diagnosis | undefined)[] = [
  released,
  configuration,
  outOfMemory,
  portTaken,
  infrastructure,
  loopBlocked,
  dependencyFatal,
  codeFault,
  dependency,
  wrongAnswer,
  overload,
  repeated,
];

/** A diagnosis by rules alone: no model, no waiting, the same for the same facts. */
export function diagnoseByRules(incident: IncidentBrief, facts: Facts): Diagnosis {
  const reading = read(incident, facts);
  for (const rule of RULES) {
    const diagnosis = rule(reading);
    if (diagnosis) return diagnosis;
  }
  return unknown(reading);
}

/** The rules as a chat model follows them: it asks for the evidence, the logs first, then concludes. */
export const diagnosisRules: RuleBook = [
  { name: "read-logs", answer: ask(["recent_logs"]) },
  { name: "read-circumstances", answer: ask(["metrics", "recent_changes", "earlier_incidents"]) },
  { name: "read-traces", answer: ask(["recent_traces"]) },
  { name: "conclude", answer: conclude },
];

/** Calls those tools that there are and that have not answered yet. */
function ask(sources: readonly Source[]): (conversation: Conversation) => Calls | undefined {
  return ({ tools, results }) => {
    const open = sources.filter((source) => tools.has(source) && !results.has(source));
    if (open.length === 0) return undefined;
    return { calls: open.map((tool) => ({ tool, args: tool === "recent_logs" ? { lines: LOG_LINES } : {} })) };
  };
}

function conclude({ question, results }: Conversation): Conclusion {
  const incident = incidentOf(question);
  const lines = (source: Source): string[] => evidenceLines(results.get(source));
  const value = incident
    ? diagnoseByRules(incident, {
        recent_logs: lines("recent_logs"),
        metrics: lines("metrics"),
        recent_traces: lines("recent_traces"),
        recent_changes: lines("recent_changes"),
        earlier_incidents: lines("earlier_incidents"),
      })
    : conclusion("unknown", "none", 0, "the question holds no incident");
  return { name: DIAGNOSIS_NAME, value };
}

/** It is left down, and something was deployed since: worth another look. */
function released({ incident, facts }: Reading): Diagnosis | undefined {
  if (!incident.actions.some((action) => action.startsWith("quarantine"))) return undefined;
  const change = facts.recent_changes.findLast(
    (line) =>
      /deploy|image|version|config/i.test(line) &&
      (/\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(line)?.[0] ?? "") > incident.openedAt,
  );
  if (change === undefined) return undefined;
  return conclusion(
    "unknown",
    "release",
    0.5,
    `it is in quarantine, and what it runs has changed since: ${quote(change)}`,
  );
}

function configuration({ incident, failures }: Reading): Diagnosis | undefined {
  const atStart = incident.fault === "start_timeout" || incident.fault === "restart_failed";
  const failure = failures.find(
    ({ code, message, fatal }) => (fatal || atStart) && (CONFIGURATION_CODES.has(code) || CONFIGURATION.test(message)),
  );
  if (!failure) return undefined;
  const why = `it refuses to start as it is set up (${failure.code || "config_invalid"}): ${quote(failure.message)}`;
  return conclusion(
    "configuration",
    "quarantine",
    0.95,
    `${why}. A restart changes nothing: correct the setting, then release it`,
  );
}

function outOfMemory(reading: Reading): Diagnosis | undefined {
  const { incident, lines, metrics } = reading;
  const proof = lines.find((line) => OUT_OF_MEMORY.test(line));
  const killed = incident.fault === "crash" && KILLED.test(incident.reason);
  if (incident.fault !== "out_of_memory" && !killed && (proof === undefined || incident.fault === "wrong_answer"))
    return undefined;
  const resident = metrics.get("process_resident_memory_bytes");
  const evidence = [
    proof === undefined
      ? `it ended as the kernel ends what takes too much memory: ${quote(incident.reason)}`
      : quote(proof),
    ...(resident === undefined ? [] : [`resident memory ${Math.round(resident / 1_000_000)} MB`]),
  ].join("; ");
  const certain = incident.fault === "out_of_memory" || proof !== undefined;
  const advice = `raise its memory limit, or find what grows`;
  return conclusion(
    "out_of_memory",
    restartOrQuarantine(reading),
    certain ? 0.9 : 0.6,
    `it ran out of memory: ${evidence}. If it comes again, ${advice}`,
  );
}

function portTaken(reading: Reading): Diagnosis | undefined {
  const proof =
    reading.failures.find(({ code, fatal }) => fatal && code === "port_taken")?.message ??
    (downFor(reading) ? reading.lines.find((line) => PORT_TAKEN.test(line)) : undefined);
  if (proof === undefined) return undefined;
  const pattern = reading.repeats >= REPEATS_MAX ? "quarantine" : "wait";
  return conclusion(
    "infrastructure",
    pattern,
    0.85,
    `another process holds its port: ${quote(proof)}. It can start once that ends, or with another port`,
  );
}

function infrastructure(reading: Reading): Diagnosis | undefined {
  const proof = reading.lines.find((line) => INFRASTRUCTURE.test(line));
  if (proof === undefined) return undefined;
  const pattern = reading.repeats >= REPEATS_MAX ? "quarantine" : "wait";
  return conclusion("infrastructure", pattern, 0.85, `what it runs on fails, not the unit: ${quote(proof)}`);
}

/** No answer while its process is there: something holds the event loop. */
function loopBlocked(reading: Reading): Diagnosis | undefined {
  const { incident, metrics } = reading;
  if (incident.fault === "loop_blocked") return loopHeld(reading);
  const delay = metrics.get("flashloan_event_loop_delay_seconds");
  if (incident.fault !== "no_answer" && incident.fault !== "stuck") return undefined;
  if (delay === undefined || delay < LOOP_BLOCKED_S) return undefined;
  return conclusion(
    "overload",
    restartOrQuarantine(reading),
    0.75,
    `its process runs and its event loop does not: ${delay} s late, so it answers nothing. Work that never yields holds it`,
  );
}

/** Its event loop was held until its watchdog ended the process, and wrote down by what. */
function loopHeld(reading: Reading): Diagnosis {
  const { incident, failures } = reading;
  const held = failures.find(({ fatal, stack }) => fatal && stack !== "");
  const frame = held && ownFrame(held.stack);
  const where = frame ? ` in ${frame.file}:${frame.line}` : "";
  return {
    ...conclusion(
      "code_fault",
      restartOrQuarantine(reading),
      frame ? 0.9 : 0.6,
      `work that never yields held the event loop of the whole process${where}: ${quote(incident.reason)}`,
    ),
    codeFault: {
      ...frame,
      message: incident.reason.slice(0, MESSAGE_CHARS_MAX) || "blocked event loop",
      stack: held?.stack.slice(0, STACK_CHARS_MAX) ?? "",
    },
  };
}

function dependencyFatal({ failures }: Reading): Diagnosis | undefined {
  const last = failures.find(({ fatal }) => fatal);
  if (!last || !isUnreachable(last)) return undefined;
  return needs(0.85, `it ended because what it needs did not answer: ${quote(last.message)}`);
}

function codeFault(reading: Reading): Diagnosis | undefined {
  const fatal = reading.failures.find((failure) => failure.fatal && failure.stack !== "");
  if (!fatal || reading.incident.fault === "wrong_answer") return undefined;
  const frame = ownFrame(fatal.stack);
  // A stack that never enters our code is a library's, or the runtime's: less sure.
  const where = frame ? ` in ${frame.file}:${frame.line}` : " outside of the platform's own code";
  return {
    ...conclusion(
      "code_fault",
      restartOrQuarantine(reading),
      frame ? 0.9 : 0.6,
      `an exception that nothing caught ended it${where}: ${quote(fatal.message)}`,
    ),
    codeFault: {
      ...frame,
      message: fatal.message.slice(0, MESSAGE_CHARS_MAX) || "no message",
      stack: fatal.stack.slice(0, STACK_CHARS_MAX),
    },
  };
}

function dependency({ incident, metrics, lines, facts }: Reading): Diagnosis | undefined {
  const unmet = [...metrics]
    .filter(([name, value]) => name.startsWith("flashloan_need_met") && value === 0)
    .map(([name]) => name);
  if (unmet.length > 0) return needs(0.9, `what it needs is not there: ${quote(unmet.join(", "))}`);
  if (incident.fault === "wrong_answer") return undefined;
  const proof = [...lines, ...facts.recent_traces.toReversed()].find(
    (line) => UNREACHABLE.test(line) || /"event":"not_ready"/.test(line),
  );
  return proof === undefined ? undefined : needs(0.75, `it can't reach what it needs: ${quote(proof)}`);
}

function wrongAnswer(reading: Reading): Diagnosis | undefined {
  const { incident, facts, failures } = reading;
  if (incident.fault !== "wrong_answer") return undefined;
  const change = facts.recent_changes.at(-1);
  const frame = failures.map(({ stack }) => ownFrame(stack)).find((found) => found !== undefined);
  const since = change === undefined ? "" : ` The newest change is: ${quote(change)}`;
  return {
    ...conclusion(
      "code_fault",
      restartOrQuarantine(reading),
      change === undefined ? 0.6 : 0.7,
      `it answers, but wrongly: ${quote(incident.reason)}.${since}`,
    ),
    codeFault: {
      ...frame,
      message: incident.reason.slice(0, MESSAGE_CHARS_MAX) || "wrong answer",
      stack: failures[0]?.stack.slice(0, STACK_CHARS_MAX) ?? "",
    },
  };
}

function overload({ incident, metrics, lines }: Reading): Diagnosis | undefined {
  const delay = metrics.get("flashloan_event_loop_delay_seconds") ?? 0;
  const proof = lines.find((line) => OVERLOAD.test(line));
  if (proof === undefined && delay < LOOP_LATE_S) return undefined;
  const evidence = proof === undefined ? `its event loop is ${delay} s late` : quote(proof);
  const gone = incident.fault !== "unhealthy";
  return conclusion("overload", gone ? "restart" : "wait", 0.6, `it has more to do than it can: ${evidence}`);
}

function repeated({ repeats, incident }: Reading): Diagnosis | undefined {
  if (repeats < REPEATS_MAX) return undefined;
  return conclusion(
    "unknown",
    "quarantine",
    0.5,
    `it failed ${repeats} times before, restarts don't help, and the evidence names no cause: ${quote(incident.reason)}`,
  );
}

function unknown({ incident }: Reading): Diagnosis {
  const pattern = incident.fault === "unhealthy" || incident.fault === "start_timeout" ? "wait" : "restart";
  return conclusion(
    "unknown",
    pattern,
    0.3,
    `the evidence names no cause for ${incident.fault}: ${quote(incident.reason)}`,
  );
}

function needs(confidence: number, why: string): Diagnosis {
  return conclusion("dependency_down", "wait", confidence, `${why}. A restart does not bring that back`);
}

function conclusion(
  cause: Diagnosis["cause"],
  pattern: Diagnosis["pattern"],
  confidence: number,
  explanation: string,
): Diagnosis {
  return { cause, pattern, confidence, explanation: explanation.slice(0, EXPLANATION_CHARS_MAX) };
}

function restartOrQuarantine({ repeats }: Reading): "restart" | "quarantine" {
  return repeats >= REPEATS_MAX ? "quarantine" : "restart";
}

/** It did not come up, or went down by itself. */
function downFor({ incident: { fault } }: Reading): boolean {
  return fault === "crash" || fault === "start_timeout" || fault === "restart_failed";
}

function isUnreachable({ code, message, stack }: Failure): boolean {
  return DEPENDENCY_CODES.has(code) || UNREACHABLE.test(message) || (code === "internal" && UNREACHABLE.test(stack));
}

function quote(text: string): string {
  return text.length <= QUOTE_CHARS_MAX ? text : `${text.slice(0, QUOTE_CHARS_MAX)}…`;
}

/** The innermost line of a stack that is in the platform's own code. */
function ownFrame(stack: string): { file: string; line: number } | undefined {
  for (const line of stack.split("\n")) {
    if (line.includes("node_modules") || line.includes("..")) continue;
    const [, file, number] = OWN_FRAME.exec(line) ?? [];
    if (file !== undefined && Number(number) > 0) return { file, line: Number(number) };
  }
  return undefined;
}

function read(incident: IncidentBrief, facts: Facts): Reading {
  const failures = failuresOf(facts.recent_logs);
  // What came up to the end of the run before is another story.
  const before = failures.filter(({ fatal }) => fatal)[1]?.at ?? -1;
  return {
    incident,
    facts,
    metrics: new Map(facts.metrics.flatMap((line) => metricOf(line))),
    failures: failures.filter(({ at }) => at > before),
    lines: [incident.reason, ...facts.recent_logs.slice(before + 1).toReversed()],
    repeats: facts.earlier_incidents.length + incident.actions.filter((action) => action.startsWith("restart")).length,
  };
}

function metricOf(line: string): [string, number][] {
  const space = line.lastIndexOf(" ");
  const value = Number(line.slice(space + 1));
  return space > 0 && Number.isFinite(value) ? [[line.slice(0, space), value]] : [];
}

const eventSchema = z.object({
  level: z.string().optional(),
  event: z.string().optional(),
  error: z.object({ code: z.string().optional(), message: z.string().optional(), stack: z.string().optional() }),
});

/** The failures that log lines tell of, newest first: our own JSON events, and what the runtime writes when it gives up. */
function failuresOf(lines: readonly string[]): Failure[] {
  const failures: Failure[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] as string;
    const brace = line.indexOf("{");
    const event = brace === -1 ? undefined : eventSchema.safeParse(parseJson(line.slice(brace))).data;
    if (event) {
      const { code = "", message = "", stack = "" } = event.error;
      const fatal = event.level === "fatal" || event.event === "process_failed" || event.event === "start_failed";
      failures.push({ code, message, stack, fatal, at });
      continue;
    }
    let end = at + 1;
    while (/^\s{2,8}at /.test(lines[end] ?? "")) end += 1;
    if (end === at + 1) continue;
    // A stack in plain text is the runtime's last word: our own code logs JSON.
    const stack = lines.slice(at, end).join("\n");
    at = end - 1;
    failures.push({ code: "", message: line.trim(), stack, fatal: true, at });
  }
  return failures.reverse();
}
