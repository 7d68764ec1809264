import { redactSecrets } from "@flashloan/chat-model/redaction";
import type { Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import { z } from "zod";
import { Rejected, type DiagnosisAgent, type FailureKind } from "./diagnosis-agent.ts";
import {
  diagnosisSchema,
  EXPLANATION_CHARS_MAX,
  MESSAGE_CHARS_MAX,
  SOURCES,
  STACK_CHARS_MAX,
  type Diagnosis,
  type Facts,
  type IncidentBrief,
  type Source,
} from "./findings.ts";
import { diagnoseByRules } from "./rules.ts";

/** Where the evidence of a diagnosis comes from. What it gives is bounded and freed of secrets before a model sees it. */
export interface Evidence {
  /** Newest log lines, oldest first. */
  logs(unit: string, lines: number): Promise<readonly string[]>;
  /** Newest values by name, labels within the name. */
  metrics(unit: string): Promise<Readonly<Record<string, number>>>;
  /** Recent spans and errors; may be empty. */
  traces(unit: string): Promise<readonly string[]>;
  /** Deployments, restarts, operators' commands, each with its time; oldest first. */
  recentChanges(unit: string): Promise<readonly string[]>;
  /** Earlier incidents of the unit. */
  incidents(unit: string): Promise<readonly string[]>;
}

/** What a diagnostician works with. */
export interface DiagnosticianDependencies {
  /** Who is asked first. What it says is believed as far as the schema goes. */
  readonly agent: DiagnosisAgent;
  readonly evidence: Evidence;
  readonly log: Logger;
  readonly clock: Clock;
  /** A diagnosis is there by then, by rules if not by the model. */
  readonly deadlineMs: number;
  /** How often the model may answer within one diagnosis. */
  readonly stepsMax: number;
}

/** Why a model's diagnosis was not taken. */
export interface DiagnosisFailure {
  readonly kind: FailureKind;
  readonly reason: string;
}

/** A diagnosis, and how it came about. */
export type DiagnosisReport = Diagnosis & {
  readonly toolCalls: number;
  /** What the model used; none by rules. */
  readonly tokens?: { readonly input: number; readonly output: number };
  /** Whose diagnosis it is; `rules` too when the model's was not taken. */
  readonly model: string;
  /** Why the rules had to stand in. */
  readonly failure?: DiagnosisFailure;
};

/** Finds out why a unit fails. It recommends and never acts. */
export interface Diagnostician {
  /** @throws FlashloanError service_stopping when the signal aborts; never for what a model does */
  diagnose(incident: IncidentBrief, signal: AbortSignal): Promise<DiagnosisReport>;
}

/** Of the deadline, what is kept for the rules; at most a quarter of it. */
const RESERVE_MS = 2_000;
const LOG_LINES_MAX = 200;
const LINES_MAX = 200;
/** A line with a stack in it fits. */
const LINE_CHARS_MAX = 6_000;
/** Looked at for secrets before a line is cut. */
const RAW_LINE_CHARS_MAX = 12_000;
const SOURCE_CHARS_MAX = 24_000;
const RAW_SOURCE_CHARS_MAX = 48_000;
const REASON_CHARS_MAX = 1_000;
/** A path within the repository. */
const FILE = /^(?!.*\.\.)[\w@][\w@./-]*$/;

/** Evidence of one incident: each source is read once, whoever asks. */
interface Dossier {
  read(source: Source): Promise<readonly string[]>;
  /** Reads what nobody has asked for yet, and gives what is there by then; a source that is late or fails has nothing. */
  facts(until: Promise<unknown>): Promise<Facts>;
}

interface Usage {
  toolCalls: number;
  input: number;
  output: number;
  counted: boolean;
}

/** A diagnostician: the model's diagnosis if it gives a valid one in time, the rules' otherwise. */
export function createDiagnostician(dependencies: DiagnosticianDependencies): Diagnostician {
  const { agent, evidence, log, clock, deadlineMs, stepsMax } = dependencies;
  const reserveMs = Math.min(RESERVE_MS, deadlineMs / 4);

  return {
    async diagnose(untrusted, signal) {
      stopIfAborted(signal);
      const startedMs = clock.monotonic();
      const incident = bounded(untrusted);
      const dossier = createDossier(evidence, incident.unit);
      const usage: Usage = { toolCalls: 0, input: 0, output: 0, counted: false };
      const end = new AbortController();
      const until = AbortSignal.any([signal, end.signal]);
      const fields = { incidentId: incident.id, unit: incident.unit };
      let report: DiagnosisReport;
      try {
        const asked = agent.ask({
          incident,
          stepsMax,
          read: (source) => {
            usage.toolCalls += 1;
            return dossier.read(source);
          },
          spent: ({ input, output }) => {
            usage.counted = true;
            usage.input += input;
            usage.output += output;
          },
          signal: until,
        });
        const late = clock.sleep(deadlineMs - reserveMs, until).then(() => {
          throw new Rejected("late", `no diagnosis within ${deadlineMs - reserveMs} ms`);
        });
        // Whichever is second has nobody to tell.
        asked.catch(() => {});
        late.catch(() => {});
        const { answer, model } = await Promise.race([asked, late]);
        report = { ...taken(answer), model, ...used(usage) };
      } catch (error) {
        stopIfAborted(signal);
        const failure = failureOf(error);
        log.warn({ ...fields, failure }, "diagnosis_by_model_failed");
        const facts = await dossier.facts(clock.sleep(reserveMs, until));
        stopIfAborted(signal);
        report = { ...diagnoseByRules(incident, facts), model: "rules", failure, ...used(usage) };
      } finally {
        end.abort(new FlashloanError("deadline_exceeded", "the diagnosis is over"));
      }
      const { cause, pattern, confidence, model, toolCalls, tokens } = report;
      const durationMs = Math.round(clock.monotonic() - startedMs);
      log.info({ ...fields, cause, pattern, confidence, model, toolCalls, tokens, durationMs }, "incident_diagnosed");
      return report;
    },
  };
}

function stopIfAborted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new FlashloanError("service_stopping", "the diagnosis was given up", { cause: signal.reason });
}

function createDossier(evidence: Evidence, unit: string): Dossier {
  const readers: Readonly<Record<Source, () => Promise<readonly string[]>>> = {
    recent_logs: () => evidence.logs(unit, LOG_LINES_MAX),
    metrics: async () => Object.entries(await evidence.metrics(unit)).map(([name, value]) => `${name} ${value}`),
    recent_traces: () => evidence.traces(unit),
    recent_changes: () => evidence.recentChanges(unit),
    earlier_incidents: () => evidence.incidents(unit),
  };
  const readings = new Map<Source, Promise<readonly string[]>>();
  const read = (source: Source): Promise<readonly string[]> => {
    const known = readings.get(source);
    if (known) return known;
    const reading = (async () => boundedLines(await readers[source]()))();
    readings.set(source, reading);
    return reading;
  };
  return {
    read,
    async facts(until) {
      const over = until.then(
        () => [],
        () => [],
      );
      const nothing = (): readonly string[] => [];
      const found = SOURCES.map(async (source) => [source, await Promise.race([read(source).catch(nothing), over])]);
      return Object.fromEntries(await Promise.all(found)) as Facts;
    },
  };
}

/** Newest lines, as many as fit, without secrets. */
function boundedLines(lines: readonly string[]): readonly string[] {
  const raw = newest(
    lines.map((line) => line.slice(0, RAW_LINE_CHARS_MAX)),
    RAW_SOURCE_CHARS_MAX,
  );
  // As one text: a private key may take several lines.
  const text = redactSecrets(raw.join("\n"));
  return newest(
    text.split("\n").map((line) => line.slice(0, LINE_CHARS_MAX)),
    SOURCE_CHARS_MAX,
  );
}

/** The last of some lines, as many as fit. */
function newest(lines: readonly string[], charsMax: number): readonly string[] {
  let room = charsMax;
  const kept = lines.slice(-LINES_MAX).findLastIndex((line) => (room -= line.length + 1) < 0);
  return lines.slice(-LINES_MAX).slice(kept + 1);
}

/** An incident without secrets, cut to what a question may hold. */
function bounded(incident: IncidentBrief): IncidentBrief {
  return {
    ...incident,
    reason: clean(incident.reason, REASON_CHARS_MAX),
    actions: incident.actions.slice(-LINES_MAX).map((action) => clean(action, REASON_CHARS_MAX)),
  };
}

/** What an agent answered, if it is a diagnosis. @throws Rejected */
function taken(answer: unknown): Diagnosis {
  const parsed = diagnosisSchema.safeParse(answer);
  if (parsed.success) return cleaned(parsed.data);
  throw new Rejected("invalid", answer === undefined ? "no diagnosis" : z.prettifyError(parsed.error));
}

/** A model's words without what must not be shown, and without a file that can't be ours. */
function cleaned({ codeFault, ...diagnosis }: Diagnosis): Diagnosis {
  const explanation = clean(diagnosis.explanation, EXPLANATION_CHARS_MAX);
  if (codeFault === undefined || diagnosis.cause !== "code_fault") return { ...diagnosis, explanation };
  const { file, line } = codeFault;
  const place = file !== undefined && FILE.test(file) ? { file, ...(line === undefined ? {} : { line }) } : {};
  const message = clean(codeFault.message, MESSAGE_CHARS_MAX);
  return {
    ...diagnosis,
    explanation,
    codeFault: { ...place, message, stack: clean(codeFault.stack, STACK_CHARS_MAX) },
  };
}

function clean(text: string, charsMax: number): string {
  // Control characters could rewrite a terminal that shows it.
  return redactSecrets(text.slice(0, charsMax * 2).replaceAll(/[^\P{Cc}\n\t]/gu, "")).slice(0, charsMax);
}

function used({ toolCalls, counted, input, output }: Usage): Pick<DiagnosisReport, "toolCalls" | "tokens"> {
  return { toolCalls, ...(counted ? { tokens: { input, output } } : {}) };
}

function failureOf(error: unknown): DiagnosisFailure {
  if (error instanceof Rejected) return { kind: error.kind, reason: clean(error.message, REASON_CHARS_MAX) };
  const message = error instanceof Error ? error.message || error.name : String(error);
  return { kind: "errored", reason: clean(message, REASON_CHARS_MAX) };
}
