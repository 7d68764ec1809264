import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type { BaseLanguageModelInput } from "@langchain/core/language_models/base";
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BindToolsInput,
} from "@langchain/core/language_models/chat_models";
import { AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";
import type { Runnable } from "@langchain/core/runnables";
import { FlashloanError } from "@flashloan/shared/errors";

/** A conversation as rules see it. */
export interface Conversation {
  /** What the person said, all of it. */
  readonly question: string;
  /** What each tool answered last, by the tool's name. */
  readonly results: ReadonlyMap<string, string>;
  /** Names of the tools that may be called. */
  readonly tools: ReadonlySet<string>;
}

/** Calls to make, all at once. */
export interface Calls {
  readonly calls: readonly { readonly tool: string; readonly args: Readonly<Record<string, unknown>> }[];
}

/** The end of the conversation: what to say, or the values of what was asked for. */
export interface Conclusion {
  /** Name of the structured output that `value` is: the answer is a call of the tool of that name, if there is one. */
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** One rule: its answer, or nothing where it doesn't apply. */
export interface Rule {
  readonly name: string;
  answer(conversation: Conversation): Calls | Conclusion | undefined;
}

/** Rules in the order of their precedence: the first that applies answers. */
export type RuleBook = readonly Rule[];

interface RulesCallOptions extends BaseChatModelCallOptions {
  tools?: BindToolsInput[];
}

/** Name that LangChain gives to a structured output that has none. */
const UNNAMED_OUTPUT = "extract";
/** Length of the pieces that an answer is streamed in. */
const PIECE_CHARS = 64;

/**
 * A chat model without any model: deterministic, without a key, at once. It follows a rule book, and behaves as any other
 * behind LangChain's interface: it calls tools, it streams, it gives structured output.
 */
export class RulesChatModel extends BaseChatModel<RulesCallOptions> {
  override readonly name = "rules";
  readonly #book: RuleBook;

  constructor(book: RuleBook) {
    super({});
    this.#book = book;
  }

  override _llmType(): string {
    return "rules";
  }

  override bindTools(
    tools: BindToolsInput[],
    options: Partial<RulesCallOptions> = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, RulesCallOptions> {
    return this.withConfig({ ...options, tools });
  }

  override async _generate(messages: BaseMessage[], options: this["ParsedCallOptions"]): Promise<ChatResult> {
    const { content, calls } = this.#answer(messages, options);
    const tool_calls = calls.map(({ id, name, args }) => ({ id, name, args: { ...args }, type: "tool_call" as const }));
    // A chunk, as LangChain's structured output wants it; it is a message too.
    const message = new AIMessageChunk({ content, tool_calls, response_metadata: { model_name: "rules" } });
    return { generations: [{ text: content, message }] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { content, calls } = this.#answer(messages, options);
    for (const piece of pieces(content)) {
      const chunk = new ChatGenerationChunk({ text: piece, message: new AIMessageChunk({ content: piece }) });
      yield chunk;
      await runManager?.handleLLMNewToken(piece, undefined, undefined, undefined, undefined, { chunk });
    }
    for (const [index, { id, name, args }] of calls.entries())
      for (const [place, piece] of pieces(JSON.stringify(args)).entries()) {
        const start = place === 0 ? { id, name } : {};
        const tool_call_chunks = [{ ...start, index, args: piece, type: "tool_call_chunk" as const }];
        const chunk = new ChatGenerationChunk({
          text: "",
          message: new AIMessageChunk({ content: "", tool_call_chunks }),
        });
        yield chunk;
        await runManager?.handleLLMNewToken("", undefined, undefined, undefined, undefined, { chunk });
      }
  }

  #answer(
    messages: readonly BaseMessage[],
    options: this["ParsedCallOptions"],
  ): { content: string; calls: readonly Call[] } {
    const tools = new Set((options.tools ?? []).map(toolName));
    const conversation: Conversation = {
      question: texts(messages, "human").join("\n"),
      results: new Map(
        messages.filter((message) => message.type === "tool").map((message) => [message.name ?? "", message.text]),
      ),
      tools,
    };
    for (const rule of this.#book) {
      const found = rule.answer(conversation);
      if (found === undefined) continue;
      const id = (index: number): string => `${rule.name}-${messages.length}-${index}`;
      if ("calls" in found)
        return {
          content: "",
          calls: found.calls.map(({ tool, args }, index) => ({ id: id(index), name: tool, args })),
        };
      const output = [found.name, UNNAMED_OUTPUT].find((candidate) => tools.has(candidate));
      if (output === undefined) return { content: JSON.stringify(found.value), calls: [] };
      return { content: "", calls: [{ id: id(0), name: output, args: found.value }] };
    }
    throw new FlashloanError("internal", "no rule of the rule book applies: its last one must always answer");
  }
}

interface Call {
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
}

function texts(messages: readonly BaseMessage[], type: string): string[] {
  return messages.filter((message) => message.type === type).map((message) => message.text);
}

/** The name of a tool in any of the shapes that LangChain binds. */
function toolName(tool: BindToolsInput): string {
  if ("function" in tool && typeof tool.function === "object")
    return String((tool.function as { name?: unknown }).name);
  return String((tool as { name?: unknown }).name);
}

function pieces(text: string): string[] {
  return Array.from({ length: Math.ceil(text.length / PIECE_CHARS) }, (_, index) =>
    text.slice(index * PIECE_CHARS, (index + 1) * PIECE_CHARS),
  );
}
