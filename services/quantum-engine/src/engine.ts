import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { FlashloanError, isFailure, toFlashloanError } from "@flashloan/shared/errors";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import { validated } from "@flashloan/shared/validated";
import type { ServiceContext } from "@flashloan/shared/service";
import { Admission } from "./admission.ts";
import type { Answers, Improvement, Provenance, Timing } from "./answers.ts";
import { memoryOf, type QuantumConfig } from "./config.ts";
import { memoryOfQuestion } from "./cost.ts";
import { budgetSchema, type Kind } from "./questions.ts";
import { Threads } from "./threads.ts";
import { monotonicMs } from "./work.ts";

/** Of the line for the trading loop's thread: a block's choice is worth nothing once the next block is there. */
const SELECTIONS_WAITING_MAX = 8;
/** An answer serves again when its thread had about as long as is asked for now. */
const GRANTED_SHARE_MIN = 0.9;
/** Improvements that a slow reader may leave unread: newer ones say more. */
const UNREAD_MAX = 1_000;
const EXPORT_DEADLINE_MS = 5_000;
/** A gap is taken relative to the bound, or to this where the bound is 0. */
const BOUND_MIN = 1e-9;

/** An answer with its timing. */
export type Answer<K extends Kind> = Answers[K] & { readonly timing: Timing };

/** How an answer is asked for. */
export interface AskOptions {
  /** Nobody wants the answer any more. */
  readonly signal: AbortSignal;
  readonly onImproved?: (improvement: Improvement) => void;
}

/** Answers questions in worker threads. */
export interface Engine extends Running {
  /**
   * Answers one question.
   * @param body as JSON; see {@link QUESTIONS}
   * @throws FlashloanError argument_invalid, naming the field; queue_full at admission; deadline_exceeded
   */
  ask<K extends Kind>(kind: K, body: unknown, options: AskOptions): Promise<Answer<K>>;
  /** Answers `solve` step by step; the last step is the result. A reader that is slow misses the oldest improvements. */
  follow(body: unknown, signal: AbortSignal): AsyncGenerator<Step>;
}

/** A step of a solution. */
export type Step = { readonly improvement: Improvement } | { readonly result: Answer<"solve"> };

interface Kept {
  readonly answer: Answers[Kind];
  /** How long its thread might work on it. */
  readonly grantedMs: number;
}

/** Starts the threads. Questions of the trading loop have one of their own: nothing else can delay it. */
export function createEngine(config: QuantumConfig, context: ServiceContext): Engine {
  const lifecycle = new Lifecycle();
  const { log, metrics, tracing } = context;
  const { workBytes, cacheBytes } = memoryOf(config);
  const { QUANTUM_THREADS: threads, QUANTUM_WAITING_MAX: waitingMax } = config;
  const lane = (many: number, waiting: number, kept: number): Lane => ({
    admission: new Admission({ threads: many, waitingMax: waiting, memoryBytes: workBytes }, monotonicMs),
    threads: new Threads({ threads: many, kept, onError: (error) => log.error({ error }, "thread_failed") }),
  });
  const selections = lane(1, SELECTIONS_WAITING_MAX, 1);
  const others = lane(threads, waitingMax, 0);
  for (const [name, { threads: its }] of Object.entries({ selections, others }))
    lifecycle.onStop(`threads for ${name}`, () => its.stop());
  const cache = new LRUCache<string, Kept>({ maxSize: cacheBytes });
  const stopping = new AbortController();
  metrics.onScrape(() => {
    const lanes = [selections.admission, others.admission];
    const total = (of: (one: Admission) => number): number => lanes.reduce((sum, one) => sum + of(one), 0);
    metrics.set(
      "flashloan_quantum_waiting",
      {},
      total(({ waiting }) => waiting),
    );
    metrics.set(
      "flashloan_quantum_working",
      {},
      total(({ working }) => working),
    );
    metrics.set(
      "flashloan_quantum_memory_bytes",
      {},
      total(({ memoryBytes }) => memoryBytes),
    );
  });

  const work = async (
    kind: Kind,
    body: Body,
    startedMs: number,
    { signal, onImproved }: AskOptions,
  ): Promise<{ answer: Answers[Kind]; queuedMs: number }> => {
    const { deadlineMs } = body;
    const { admission, threads: its } = kind === "select-opportunities" ? selections : others;
    const memoryBytes = memoryOfQuestion(kind, body);
    const place = admission.take({ kind, deadlineMs, memoryBytes });
    try {
      await Promise.race([place.begun, rejection(signal)]);
      const queuedMs = monotonicMs() - startedMs;
      const dueMs = startedMs + deadlineMs;
      const work = { dueMs, memoryBytes, signal, ...(onImproved && { onImproved }) };
      const answer = await its.answer(kind, body, work);
      place.leave("answered");
      return { answer, queuedMs };
    } finally {
      place.leave();
    }
  };

  const ask = async <K extends Kind>(kind: K, input: unknown, options: AskOptions): Promise<Answer<K>> => {
    const startedMs = monotonicMs();
    const signal = AbortSignal.any([options.signal, stopping.signal]);
    return tracing.span("quantum.answer", { "flashloan.question": kind }, async (annotate) => {
      try {
        const body = withBudget(kind, input, config.QUANTUM_DEADLINE_MS_MAX);
        const { deadlineMs } = body;
        const key = keyOf(kind, body);
        const kept = key === undefined ? undefined : cache.get(key);
        const cached = kept !== undefined && (kept.grantedMs >= GRANTED_SHARE_MIN * deadlineMs || isFinal(kept.answer));
        const { answer, queuedMs } = cached
          ? { answer: kept.answer, queuedMs: 0 }
          : await work(kind, body, startedMs, { ...options, signal });
        signal.throwIfAborted();
        const elapsedMs = monotonicMs() - startedMs;
        // What a busy moment left no time for is no answer for a quiet one.
        if (key !== undefined && !cached && !isDegraded(answer))
          cache.set(key, { answer, grantedMs: deadlineMs - queuedMs }, { size: sizeOf(answer) });
        const timing = { elapsedMs, queuedMs, overshootMs: Math.max(0, elapsedMs - deadlineMs), cached };
        report(context, kind, answer, timing);
        if ("provenance" in answer) annotate({ "flashloan.solver": answer.provenance.solver });
        return { ...(answer as Answers[K]), timing };
      } catch (error) {
        const known = toFlashloanError(error);
        const outcome = signal.aborted ? "cancelled" : isFailure(known) ? "failed" : "refused";
        metrics.add("flashloan_quantum_questions_total", { kind, outcome });
        throw known;
      }
    });
  };
  return {
    ask,
    follow: (body, signal) => steps((onImproved) => ask("solve", body, { signal, onImproved })),
    stop: () => {
      stopping.abort(new FlashloanError("service_stopping", "the engine is stopping"));
      return lifecycle.stop();
    },
  };
}

async function* steps(
  solve: (onImproved: (improvement: Improvement) => void) => Promise<Answer<"solve">>,
): AsyncGenerator<Step> {
  const unread: Improvement[] = [];
  let news = Promise.withResolvers<void>();
  const solved = solve((improvement) => {
    unread.push(improvement);
    if (unread.length > UNREAD_MAX) unread.shift();
    news.resolve();
  });
  const progress = { isEnded: false };
  const end = (): void => {
    progress.isEnded = true;
    news.resolve();
  };
  solved.then(end, end);
  while (!progress.isEnded) {
    await news.promise;
    news = Promise.withResolvers<void>();
    for (let improvement = unread.shift(); improvement; improvement = unread.shift()) yield { improvement };
  }
  yield { result: await solved };
}

interface Lane {
  readonly admission: Admission;
  readonly threads: Threads;
}

/** A question as far as this thread looks into it: the rest is checked by the one that answers it. */
interface Body {
  readonly deadlineMs: number;
  readonly [field: string]: unknown;
}

/** @throws FlashloanError argument_invalid for a budget that can't be used */
function withBudget(kind: Kind, input: unknown, deadlineMsMax: number): Body {
  const body = budgetSchema.parse(validated(budgetSchema, input));
  // A circuit is written down, not searched for.
  if (kind === "export-circuit") return { ...body, deadlineMs: EXPORT_DEADLINE_MS };
  if (body.deadlineMs <= deadlineMsMax) return body;
  throw new FlashloanError(
    "argument_invalid",
    `deadlineMs is ${body.deadlineMs}: must be at most ${deadlineMsMax} (QUANTUM_DEADLINE_MS_MAX)`,
  );
}

/** What is the same question but for its deadline; undefined for what is never asked twice. */
function keyOf(kind: Kind, body: Body): string | undefined {
  if (kind === "select-opportunities") return undefined;
  return createHash("sha256")
    .update(kind)
    .update(JSON.stringify({ ...body, deadlineMs: undefined }))
    .digest("base64");
}

/** True when more time would not make it better. */
function isFinal(answer: Answers[Kind]): boolean {
  if ("opinion" in answer && answer.opinion && "refused" in answer.opinion) return false;
  if ("provenance" in answer) return answer.provenance.provenOptimal;
  return "degraded" in answer ? !answer.degraded : "qubits" in answer;
}

function isDegraded(answer: Answers[Kind]): boolean {
  return "degraded" in answer ? answer.degraded : "provenance" in answer && answer.provenance.degraded;
}

function sizeOf(answer: Answers[Kind]): number {
  return 200 + JSON.stringify(answer).length;
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = (): void => reject(toFlashloanError(signal.reason));
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail, { once: true });
  });
}

function report({ metrics }: ServiceContext, kind: Kind, answer: Answers[Kind], timing: Timing): void {
  const outcome = timing.cached ? "cached" : isDegraded(answer) ? "degraded" : "answered";
  metrics.add("flashloan_quantum_questions_total", { kind, outcome });
  metrics.observe("flashloan_quantum_answer_seconds", { kind }, timing.elapsedMs / 1_000);
  metrics.observe("flashloan_quantum_overshoot_seconds", {}, timing.overshootMs / 1_000);
  if (timing.cached) return;
  if ("provenance" in answer) {
    metrics.add("flashloan_quantum_wins_total", { solver: answer.provenance.solver });
    metrics.observe("flashloan_quantum_gap_ratio", {}, gapOf(answer.provenance));
  }
  if ("foundMs" in answer) metrics.observe("flashloan_quantum_found_seconds", {}, answer.foundMs / 1_000);
  if ("opinion" in answer && answer.opinion && "approximationRatio" in answer.opinion)
    metrics.observe("flashloan_quantum_approximation_ratio", {}, answer.opinion.approximationRatio);
}

function gapOf({ provenOptimal, objective, bound }: Provenance): number {
  return provenOptimal ? 0 : Math.abs(bound - objective) / Math.max(BOUND_MIN, Math.abs(bound));
}
