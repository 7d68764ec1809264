import { HumanMessage, type AIMessageChunk } from "@langchain/core/messages";
import { createAgent, tool, toolStrategy } from "langchain";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { RulesChatModel, type RuleBook } from "../src/rules-chat-model.ts";

/** Asks for the weather of the place that is named, once, and concludes from it. */
const book: RuleBook = [
  {
    name: "ask",
    answer: ({ question, tools, results }) =>
      tools.has("weather") && !results.has("weather")
        ? { calls: [{ tool: "weather", args: { place: question } }] }
        : undefined,
  },
  {
    name: "conclude",
    answer: ({ results }) => ({ name: "advice", value: { umbrella: results.get("weather") === "rain" } }),
  },
];
const advice = z.object({ umbrella: z.boolean() }).meta({ title: "advice" });

function weather(answer: string) {
  const places: string[] = [];
  const asked = tool(
    ({ place }: { place: string }) => {
      places.push(place);
      return answer;
    },
    { name: "weather", description: "the weather", schema: z.object({ place: z.string() }) },
  );
  return { places, asked };
}

describe("the keyless model", () => {
  it("works as an agent: its tools are called, its answer is structured", async () => {
    for (const [answer, umbrella] of [
      ["rain", true],
      ["sun", false],
    ] as const) {
      const { places, asked } = weather(answer);
      const agent = createAgent({
        model: new RulesChatModel(book),
        tools: [asked],
        responseFormat: toolStrategy(advice),
      });
      const { structuredResponse } = await agent.invoke({ messages: [{ role: "user", content: "Oslo" }] });
      expect(structuredResponse).toEqual({ umbrella });
      expect(places).toEqual(["Oslo"]);
    }
  });

  it("streams the steps of an agent", async () => {
    const { asked } = weather("rain");
    const agent = createAgent({ model: new RulesChatModel(book), tools: [asked] });
    const nodes: string[] = [];
    for await (const update of await agent.stream({ messages: [new HumanMessage("Oslo")] }, { streamMode: "updates" }))
      nodes.push(...Object.keys(update));
    expect(nodes).toEqual(["model_request", "tools", "model_request"]);
  });

  it("streams pieces that add up to the answer", async () => {
    const model = new RulesChatModel([
      { name: "say", answer: () => ({ name: "x", value: { text: "a".repeat(200) } }) },
    ]);
    const whole = await model.invoke("hello");
    const streamed: AIMessageChunk[] = [];
    for await (const piece of await model.stream("hello")) streamed.push(piece);
    expect(streamed.length).toBeGreaterThan(3);
    expect(streamed.map(({ text }) => text).join("")).toBe(whole.text);
  });

  it("streams tool calls that add up too", async () => {
    const { asked } = weather("rain");
    const place = "Oslo ".repeat(40);
    const bound = new RulesChatModel(book).bindTools([asked]);
    let sum: AIMessageChunk | undefined;
    for await (const piece of await bound.stream(place)) sum = sum?.concat(piece) ?? piece;
    expect(sum?.tool_calls).toMatchObject([{ name: "weather", args: { place } }]);
    expect(sum?.tool_calls).toEqual((await bound.invoke(place)).tool_calls);
  });

  it("gives structured output without an agent, named or not", async () => {
    const model = new RulesChatModel(book);
    expect(await model.withStructuredOutput(advice).invoke("Oslo")).toEqual({ umbrella: false });
    expect(await model.withStructuredOutput(advice, { name: "advice" }).invoke("Oslo")).toEqual({ umbrella: false });
  });

  it("says the same each time, without a name for usage that there is none of", async () => {
    const model = new RulesChatModel(book);
    const [one, other] = [await model.invoke("Oslo"), await model.invoke("Oslo")];
    expect(one.content).toBe('{"umbrella":false}');
    expect(one.content).toBe(other.content);
    expect(one.usage_metadata).toBeUndefined();
  });

  it("refuses a rule book without an answer", async () => {
    await expect(new RulesChatModel([]).invoke("Oslo")).rejects.toMatchObject({ code: "internal" });
  });
});
