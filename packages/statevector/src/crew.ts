import { Worker } from "node:worker_threads";
import { FlashloanError } from "@flashloan/shared/errors";
import { kernelModule, type KernelMemory } from "./kernel.ts";

const START_TIMEOUT_MS = 30_000;
/** What makes a thread of assembly/index.ts's serve() return. */
const GENERATION_END = 0x7fff_ffff;

/** A worker's whole program: it says that it is there, and serves jobs until the generation ends. */
const PROGRAM = `
const { parentPort, workerData: { module, memory, job, thread } } = require("node:worker_threads");
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
parentPort.postMessage("ready");
exports.serve(job, thread);
`;

/** Threads that help with the jobs of one simulator. They keep no process alive. */
export interface Crew {
  /** False once one of them has failed: a job must not count on them then. */
  readonly isWhole: boolean;
  stop(): Promise<void>;
}

/**
 * Starts `helpers` threads on the job record at `job`, whose generation is at `generation`. Errors: deadline_exceeded if
 * they don't start.
 */
export async function startCrew(memory: KernelMemory, job: number, generation: number, helpers: number): Promise<Crew> {
  let [isWhole, stopping] = [true, false];
  const module = kernelModule();
  const workers = Array.from(
    { length: helpers },
    (_, index) => new Worker(PROGRAM, { eval: true, workerData: { module, memory, job, thread: index + 1 } }),
  );
  const ended = workers.map(
    (worker) =>
      new Promise<void>((resolve) => {
        worker.on("error", () => (isWhole = false));
        worker.on("exit", () => {
          isWhole &&= stopping;
          resolve();
        });
      }),
  );
  const stop = async (): Promise<void> => {
    stopping = true;
    // Or the process may end before they have.
    for (const worker of workers) worker.ref();
    const numbers = new Int32Array(memory.buffer);
    Atomics.store(numbers, generation / 4, GENERATION_END);
    Atomics.notify(numbers, generation / 4);
    await Promise.all(ended);
  };
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  try {
    await Promise.all(workers.map((worker) => firstMessage(worker, timeout)));
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.terminate()));
    throw new FlashloanError("deadline_exceeded", "the simulator's threads did not start", { cause: error });
  }
  for (const worker of workers) worker.unref();
  return {
    get isWhole() {
      return isWhole;
    },
    stop,
  };
}

function firstMessage(worker: Worker, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    worker.once("error", reject);
    worker.once("message", () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}
