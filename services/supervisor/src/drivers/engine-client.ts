import type { z } from "zod";
import { eventSchema, refusalSchema, type EngineEvent } from "@flashloan/engine-proxy/answers";
import { HEARTBEAT_MS } from "@flashloan/engine-proxy/limits";
import { backoffMs, type Clock } from "@flashloan/shared/clock";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { Random } from "@flashloan/shared/random";

/** A stream of events that says nothing for so long is dead. */
const SILENCE_MS_MAX = 4 * HEARTBEAT_MS;
const RECONNECT_BASE_MS = 250;
const RECONNECT_CAP_MS = 10_000;
const LOOK_DEADLINE_MS = 15_000;
const EVENT_CHARACTERS_MAX = 65_536;

/** What the drivers that speak to the engine's proxy are made of. */
export interface EngineDriverDeps {
  /** Where the engine's proxy is: `http://host:port`. */
  readonly url: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Speaks to the engine's proxy (packages/engine-proxy). */
export class EngineClient implements Running {
  readonly #deps: EngineDriverDeps;
  readonly #stopping = new AbortController();
  #following: Promise<void> | undefined;

  constructor(deps: EngineDriverDeps) {
    this.#deps = deps;
  }

  /** @throws FlashloanError not_found, service_unavailable, deadline_exceeded */
  async get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const text = await this.#ask("GET", path, LOOK_DEADLINE_MS);
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw new FlashloanError("service_unavailable", `the engine's proxy answers ${path} with what it should not`, {
        cause,
      });
    }
  }

  /** @throws FlashloanError not_found, service_unavailable, deadline_exceeded */
  async post(path: string, deadlineMs: number): Promise<void> {
    await this.#ask("POST", path, deadlineMs);
  }

  /**
   * Calls back with each event of the engine, and with nothing each time that events flow (again): some may have been missed.
   * Reconnects by itself, until it is stopped.
   */
  follow(onEvent: (event: EngineEvent | undefined) => void): void {
    if (this.#following) throw new RangeError("the engine's events are followed already");
    this.#following = this.#follow(onEvent);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
  }

  async #follow(onEvent: (event: EngineEvent | undefined) => void): Promise<void> {
    const { clock, log, random } = this.#deps;
    const stopping = this.#stopping.signal;
    for (let attempt = 0; !stopping.aborted; attempt++) {
      try {
        await this.#readEvents((event) => {
          attempt = 0;
          onEvent(event);
        });
      } catch (error) {
        if (!stopping.aborted) log.warn({ error: unreachable(error), attempt }, "engine_events_lost");
      }
      const wait = backoffMs(attempt, RECONNECT_BASE_MS, RECONNECT_CAP_MS, () => 0.5 + random.next() / 2);
      await clock.sleep(wait, stopping).catch(() => undefined);
    }
  }

  /** Reads one stream of events to its end, which comes when it is cut or silent for too long. */
  async #readEvents(onEvent: (event: EngineEvent | undefined) => void): Promise<void> {
    const silence = new AbortController();
    const watchdog = setTimeout(() => silence.abort(new Error(`silent for ${SILENCE_MS_MAX} ms`)), SILENCE_MS_MAX);
    try {
      const signal = AbortSignal.any([silence.signal, this.#stopping.signal]);
      const answer = await fetch(`${this.#deps.url}/events`, { signal });
      if (!answer.ok || !answer.body) throw refusal(answer.status, await answer.text());
      onEvent(undefined);
      let open = "";
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        watchdog.refresh();
        const lines = (open + piece).split("\n");
        open = lines.pop() ?? "";
        if (open.length > EVENT_CHARACTERS_MAX) throw new RangeError("an event is too large");
        for (const line of lines) if (line !== "") onEvent(eventSchema.parse(JSON.parse(line)));
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  async #ask(method: "GET" | "POST", path: string, deadlineMs: number): Promise<string> {
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      const signal = AbortSignal.any([deadline, this.#stopping.signal]);
      const answer = await fetch(`${this.#deps.url}${path}`, { method, signal });
      const text = await answer.text();
      if (!answer.ok) throw refusal(answer.status, text);
      return text;
    } catch (error) {
      if (!deadline.aborted) throw unreachable(error);
      const message = `the engine's proxy did not answer ${method} ${path} within ${deadlineMs} ms`;
      throw new FlashloanError("deadline_exceeded", message, { cause: error });
    }
  }
}

function unreachable(cause: unknown): FlashloanError {
  if (cause instanceof FlashloanError) return cause;
  const { message } = toFlashloanError(cause);
  return new FlashloanError("service_unavailable", `the engine's proxy can't be reached: ${message}`, { cause });
}

function refusal(status: number, text: string): FlashloanError {
  const parsed = refusalSchema.safeParse(safeJson(text));
  const { code, message } = parsed.success ? parsed.data : { code: "unknown", message: text.slice(0, 200) };
  const details = { status, code };
  const said = `the engine's proxy refuses: ${message}`;
  // A container that is not a unit any more and one that is gone are the same to us.
  if (status === 403 || status === 404) return new FlashloanError("not_found", said, { details });
  if (status === 504) return new FlashloanError("deadline_exceeded", said, { details });
  return new FlashloanError("service_unavailable", said, { details });
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
