import { createAgent, tool, toolStrategy } from "langchain";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { openChatModel, type ChatModelOptions } from "../src/open.ts";
import { openaiDouble, type DoubleAnswer } from "./contract/openai-double.ts";

const KEY = "sk-test-abcdefghijklmnopqrstuvwxyz";
const options: ChatModelOptions = {
  rules: [{ name: "say", answer: () => ({ name: "x", value: { said: true } }) }],
  timeoutMs: 30_000,
  retriesMax: 0,
  tokensMax: 321,
  environment: { OPENAI_API_KEY: KEY },
};
let double: Awaited<ReturnType<typeof openaiDouble>> | undefined;
afterEach(async () => {
  await double?.stop();
  double = undefined;
});

async function openai(answer: (turn: number) => DoubleAnswer, overrides: Partial<ChatModelOptions> = {}) {
  double = await openaiDouble(answer);
  const model = await openChatModel("openai:gpt-4o-mini", { ...options, baseUrl: double.baseUrl, ...overrides });
  return { model, seen: double.seen };
}

describe("rules:", () => {
  it("needs neither key nor network", async () => {
    const model = await openChatModel("rules:", { ...options, environment: {} });
    expect((await model.invoke("hello")).content).toBe('{"said":true}');
    expect(model.getName()).toBe("rules");
  });
});

describe("openai:", () => {
  it("asks as OpenAI's protocol wants it, within the limits", async () => {
    const { model, seen } = await openai(() => ({ content: "good day" }));
    const message = await model.invoke("hello");
    expect(message.text).toBe("good day");
    expect(message.usage_metadata).toMatchObject({ input_tokens: 50, output_tokens: 7 });
    expect(seen).toMatchObject([
      {
        path: "/v1/chat/completions",
        authorization: `Bearer ${KEY}`,
        body: { model: "gpt-4o-mini", messages: [{ role: "user", content: "hello" }] },
      },
    ]);
    const { max_tokens, max_completion_tokens } = seen[0]?.body ?? {};
    expect(max_tokens ?? max_completion_tokens).toBe(321);
    expect(model.getName()).toBe("openai:gpt-4o-mini");
    expect(JSON.stringify(model)).not.toContain(KEY);
  });

  it("streams", async () => {
    const { model } = await openai(() => ({ content: "one two three" }));
    const pieces: string[] = [];
    for await (const { text } of await model.stream("count")) if (text !== "") pieces.push(text);
    expect(pieces).toEqual(["one ", "two ", "three"]);
  });

  it("is an agent: tools over the wire, then the structured answer", async () => {
    const { model, seen } = await openai((turn) =>
      turn === 1 ? { tool: "weather", args: { place: "Oslo" } } : { tool: "advice", args: { umbrella: true } },
    );
    const weather = tool(({ place }: { place: string }) => `rain in ${place}`, {
      name: "weather",
      description: "the weather",
      schema: z.object({ place: z.string() }),
    });
    const advice = z.object({ umbrella: z.boolean() }).meta({ title: "advice" });
    const agent = createAgent({ model, tools: [weather], responseFormat: toolStrategy(advice) });
    const { structuredResponse } = await agent.invoke({ messages: [{ role: "user", content: "Oslo?" }] });
    expect(structuredResponse).toEqual({ umbrella: true });
    expect(seen).toHaveLength(2);
    expect(seen[1]?.body["messages"]).toMatchObject([
      { role: "user" },
      { role: "assistant", tool_calls: [{ id: "call_1", function: { name: "weather" } }] },
      { role: "tool", tool_call_id: "call_1", content: "rain in Oslo" },
    ]);
    const names = (seen[0]?.body["tools"] as { function: { name: string } }[] | undefined)?.map(
      (bound) => bound.function.name,
    );
    expect(names).toEqual(["weather", "advice"]);
  });

  it("tries again as often as allowed, no more", async () => {
    const { model, seen } = await openai(
      (turn) => (turn < 2 ? { status: 500, message: "later" } : { content: "now" }),
      { retriesMax: 1 },
    );
    expect((await model.invoke("hello")).text).toBe("now");
    expect(seen).toHaveLength(2);
    await double?.stop();
    const other = await openai(() => ({ status: 500, message: "later" }), { retriesMax: 1 });
    await expect(other.model.invoke("hello")).rejects.toThrow("later");
    expect(other.seen).toHaveLength(2);
  });

  it("gives a silent server up", async () => {
    const { model, seen } = await openai(() => "silence", { timeoutMs: 200 });
    await expect(model.invoke("hello")).rejects.toThrow(/timed out/i);
    expect(seen).toHaveLength(1);
  });

  it("needs a key, unless the server is one's own", async () => {
    await expect(openChatModel("openai:gpt-4o-mini", { ...options, environment: {} })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringMatching(/set OPENAI_API_KEY or OPENAI_API_KEY_FILE/) as string,
    });
    const { model, seen } = await openai(() => ({ content: "hi" }), { environment: {} });
    await model.invoke("hello");
    expect(seen[0]?.authorization).toBe("Bearer none");
  });
});

describe("any other URL", () => {
  it.each([
    ["anthropic:claude-haiku-4-5", { ANTHROPIC_API_KEY: KEY }, /@langchain\/anthropic is not installed: pnpm/],
    ["ollama:qwen3:8b", {}, /@langchain\/ollama is not installed: pnpm/],
    ["anthropic:claude-haiku-4-5", {}, /set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE/],
    ["gpt-4o", {}, /no chat model for "gpt-4o": use rules: or PROVIDER:MODEL/],
    ["constructor:x", {}, /no chat model for "constructor:"/],
    ["openai:", { OPENAI_API_KEY: KEY }, /no chat model for "openai:"/],
    [`https://user:${KEY}@host`, {}, /no chat model for "https:"/],
  ])("%s is refused with its cure", async (url, environment, message) => {
    const refused: unknown = await openChatModel(url, { ...options, environment }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "config_invalid", message: expect.stringMatching(message) as string });
    expect(String(refused)).not.toContain(KEY);
  });
});
