import { z } from "zod";
import { descriptorFile } from "@flashloan/proto/descriptor";
import {
  QuantumEngineServiceService,
  type QuantumEngineServiceServer,
  type SolveStreamRequest,
  type SolveStreamResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { serverStream, startRpcServer, unary } from "@flashloan/shared/rpc-server";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import type { QuantumConfig } from "./config.ts";
import { createEngine, type Answer, type Engine } from "./engine.ts";
import type { Kind } from "./questions.ts";
import { startRestServer } from "./rest.ts";
import * as wire from "./wire.ts";

/** A running engine. */
export interface QuantumEngineService extends Service {
  /** `host:port` of the REST server. */
  readonly restAddress: string;
}

/** Starts the engine's gRPC and REST servers. @throws FlashloanError port_taken, config_invalid */
export async function createQuantumEngineService(
  config: QuantumConfig,
  context: ServiceContext,
): Promise<QuantumEngineService> {
  const { QUANTUM_HOST: host, QUANTUM_PORT: port, QUANTUM_REST_PORT: restPort } = config;
  const lifecycle = new Lifecycle();
  try {
    const engine = lifecycle.add("engine", createEngine(config, context));
    const rest = lifecycle.add("rest", await startRestServer(engine, host, restPort, context));
    const implementation = implement(engine, context);
    const server = lifecycle.add(
      "rpc",
      await startRpcServer({
        host,
        port,
        services: [
          {
            name: "flashloan.quantum.v1.QuantumEngineService",
            definition: QuantumEngineServiceService,
            implementation,
          },
        ],
        descriptorFile,
        context,
      }),
    );
    return { ...server, restAddress: rest.address, needs: {}, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => context.log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

function implement(engine: Engine, context: ServiceContext): QuantumEngineServiceServer {
  // The engine checks what a question holds; a message as such is what its proto says.
  const answer = <K extends Kind, I, O>(
    kind: K,
    question: (request: I) => unknown,
    response: (answer: Answer<K>) => O,
  ) =>
    unary(z.object({}), context, async (request: I, signal) =>
      response(await engine.ask(kind, question(request), { signal })),
    );
  return {
    solve: answer("solve", wire.solveQuestion, wire.solveResponse),
    solveStream: serverStream(
      z.object({ question: z.object({}, { error: "must be set" }) }),
      context,
      (request: SolveStreamRequest, signal) => steps(engine, request, signal),
    ),
    selectOpportunities: answer("select-opportunities", wire.selectQuestion, wire.selectResponse),
    allocateTasks: answer("allocate-tasks", wire.allocateQuestion, wire.allocateResponse),
    rankCompletions: answer("rank-completions", wire.rankQuestion, wire.rankResponse),
    minimizeEnergy: answer("minimize-energy", wire.minimizeQuestion, wire.minimizeResponse),
    landscape: answer("landscape", wire.landscapeQuestion, wire.landscapeResponse),
    exportCircuit: answer("export-circuit", wire.circuitQuestion, wire.circuitResponse),
  };
}

async function* steps(
  engine: Engine,
  { question }: SolveStreamRequest,
  signal: AbortSignal,
): AsyncGenerator<SolveStreamResponse> {
  if (!question) return;
  for await (const step of engine.follow(wire.solveQuestion(question), signal)) {
    yield "result" in step
      ? { step: { $case: "result", value: wire.solveResponse(step.result) } }
      : { step: { $case: "improvement", value: step.improvement } };
  }
}
