import { openaiDouble } from "@flashloan/chat-model/contract/openai-double";
import type { ChatModelConfig } from "@flashloan/chat-model/config";
import { systemClock } from "@flashloan/shared/clock";
import { createLogger } from "@flashloan/shared/log";
import { afterEach, expect, it } from "vitest";
import { createDiagnostician } from "../src/diagnosis.ts";
import { createDiagnosisProcess, type ModelSettings } from "../src/diagnosis-process.ts";
import { CRASH, evidenceOf, handClock, incident } from "./incidents.ts";

const never = new AbortController().signal;
const rules: ChatModelConfig = {
  CHAT_MODEL_URL: "rules:",
  CHAT_MODEL_BASE_URL: undefined,
  CHAT_MODEL_TIMEOUT_MS: 60_000,
  CHAT_MODEL_RETRIES_MAX: 0,
  CHAT_MODEL_TOKENS_MAX: 500,
};
const known = { recent_logs: [CRASH] };
const DIAGNOSIS = { cause: "overload", pattern: "wait", explanation: "its queue is full", confidence: 0.7 };

let double: Awaited<ReturnType<typeof openaiDouble>> | undefined;
afterEach(async () => {
  await double?.stop();
  double = undefined;
});

function setUp(settings: ModelSettings, clock = systemClock) {
  const evidence = evidenceOf(known);
  const log = createLogger("supervisor", "silent");
  const agent = createDiagnosisProcess(settings);
  return {
    agent,
    evidence,
    diagnostician: createDiagnostician({ agent, evidence, log, clock, deadlineMs: 60_000, stepsMax: 6 }),
  };
}

function openai(baseUrl: string): ModelSettings {
  const config = { ...rules, CHAT_MODEL_URL: "openai:gpt-4o-mini", CHAT_MODEL_BASE_URL: baseUrl };
  return { config, environment: { OPENAI_API_KEY: "sk-test-abcdefghijklmnopqrst" } };
}

it("diagnoses with the keyless model, one incident after the other", async () => {
  const { diagnostician, evidence, agent } = setUp({ config: rules, environment: process.env });
  await agent.check();
  const reports = await Promise.all([
    diagnostician.diagnose(incident(), never),
    diagnostician.diagnose(incident(), never),
  ]);
  for (const report of reports) {
    expect(report).toMatchObject({ cause: "code_fault", pattern: "restart", model: "rules", toolCalls: 5 });
    expect(report).not.toHaveProperty("failure");
  }
  const once = ["logs of risk-manager, 200", "metrics", "changes", "incidents", "traces"];
  expect(evidence.asked).toEqual([...once, ...once]);
});

it("diagnoses with a model of a provider, and tells what that took", async () => {
  double = await openaiDouble((turn) =>
    turn === 1 ? { tool: "recent_logs", args: { lines: 5 } } : { tool: "diagnosis", args: DIAGNOSIS },
  );
  const { diagnostician, agent } = setUp(openai(double.baseUrl));
  await agent.check();
  expect(await diagnostician.diagnose(incident(), never)).toEqual({
    ...DIAGNOSIS,
    model: "openai:gpt-4o-mini",
    toolCalls: 1,
    tokens: { input: 100, output: 14 },
  });
  expect(JSON.stringify(double.seen[1]?.body)).toContain("gas-budget.js");
});

it("ends with its deadline, whatever the model does", async () => {
  const clock = handClock();
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  double = await openaiDouble(() => {
    resolve();
    return "silence";
  });
  const { diagnostician } = setUp(openai(double.baseUrl), clock);
  const report = diagnostician.diagnose(incident(), never);
  await asked;
  clock.pass(60_000);
  expect(await report).toMatchObject({ model: "rules", cause: "code_fault", failure: { kind: "late" } });
  // Its process is ended with it.
  await double.hungUp;
});

it("says what is missing before there is any incident", async () => {
  const { agent, diagnostician } = setUp({
    config: { ...rules, CHAT_MODEL_URL: "openai:gpt-4o-mini" },
    environment: {},
  });
  await expect(agent.check()).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining("OPENAI_API_KEY") as string,
  });
  // And diagnoses all the same.
  expect(await diagnostician.diagnose(incident(), never)).toMatchObject({
    model: "rules",
    failure: { kind: "errored" },
  });
});
