import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { readConfig } from "@flashloan/shared/config";
import { FlashloanError } from "@flashloan/shared/errors";
import { z } from "zod";
import { redactSecrets } from "./redaction.ts";
import type { RuleBook } from "./rules-chat-model.ts";

/** How a chat model is opened, whichever it is. */
export interface ChatModelOptions {
  /** What `rules:` follows. */
  readonly rules: RuleBook;
  /** Time of one request to a provider. */
  readonly timeoutMs: number;
  /** How often a request that failed is tried again. */
  readonly retriesMax: number;
  /** Tokens of one answer. */
  readonly tokensMax: number;
  /** Where the provider's key is: `OPENAI_API_KEY` or `OPENAI_API_KEY_FILE`, and so on. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Another server that speaks the provider's protocol. */
  readonly baseUrl?: string;
}

/** What a provider calls its limits, where that differs from LangChain's usual words. */
interface Provider {
  /** Variable of its key; none where it needs none, or finds its own. */
  readonly key?: string;
  readonly fields: (settings: Settings) => Record<string, unknown>;
}

interface Settings {
  readonly timeoutMs: number;
  readonly tokensMax: number;
  readonly baseUrl: string | undefined;
}

const usual = ({ timeoutMs, tokensMax, baseUrl }: Settings): Record<string, unknown> => ({
  timeout: timeoutMs,
  maxTokens: tokensMax,
  ...(baseUrl === undefined ? {} : { baseUrl, baseURL: baseUrl }),
});

const openaiFields = ({ timeoutMs, tokensMax, baseUrl }: Settings): Record<string, unknown> => ({
  timeout: timeoutMs,
  maxTokens: tokensMax,
  ...(baseUrl === undefined ? {} : { configuration: { baseURL: baseUrl } }),
});

const PROVIDERS: Readonly<Record<string, Provider>> = {
  openai: { key: "OPENAI_API_KEY", fields: openaiFields },
  anthropic: {
    key: "ANTHROPIC_API_KEY",
    fields: ({ timeoutMs, tokensMax, baseUrl }) => ({
      maxTokens: tokensMax,
      clientOptions: { timeout: timeoutMs },
      ...(baseUrl === undefined ? {} : { anthropicApiUrl: baseUrl }),
    }),
  },
  // It knows no time limit of its own: the caller's signal ends a request.
  ollama: {
    fields: ({ tokensMax, baseUrl }) => ({ numPredict: tokensMax, ...(baseUrl === undefined ? {} : { baseUrl }) }),
  },
  "google-genai": {
    key: "GOOGLE_API_KEY",
    fields: ({ tokensMax, baseUrl }) => ({
      maxOutputTokens: tokensMax,
      ...(baseUrl === undefined ? {} : { baseUrl }),
    }),
  },
  mistralai: {
    key: "MISTRAL_API_KEY",
    fields: ({ tokensMax, baseUrl }) => ({
      maxTokens: tokensMax,
      ...(baseUrl === undefined ? {} : { serverURL: baseUrl }),
    }),
  },
  groq: { key: "GROQ_API_KEY", fields: usual },
  deepseek: { key: "DEEPSEEK_API_KEY", fields: openaiFields },
  xai: { key: "XAI_API_KEY", fields: openaiFields },
};

/**
 * The chat model that a URL names: `rules:` (no key, no network, deterministic), or `PROVIDER:MODEL` for any provider that
 * LangChain knows, such as `openai:gpt-5-mini`, `anthropic:claude-haiku-4-5`, `ollama:qwen3:8b`. Clients are loaded only
 * when chosen; a provider's package other than OpenAI's has to be installed. `getName()` tells which it is.
 * @throws FlashloanError config_invalid
 */
export async function openChatModel(url: string, options: ChatModelOptions): Promise<BaseChatModel> {
  if (url === "rules:") {
    const { RulesChatModel } = await import("./rules-chat-model.ts");
    return new RulesChatModel(options.rules);
  }
  const [, provider = "", modelName = ""] = /^([\w-]+):([^\s]{1,200})$/.exec(url) ?? [];
  const { initChatModel, MODEL_PROVIDER_CONFIG } = await import("langchain/chat_models/universal");
  if (!Object.hasOwn(MODEL_PROVIDER_CONFIG, provider)) throw unknownModel(url, Object.keys(MODEL_PROVIDER_CONFIG));
  const { package: packageName } = MODEL_PROVIDER_CONFIG[provider as keyof typeof MODEL_PROVIDER_CONFIG];
  const { key, fields } = PROVIDERS[provider] ?? { fields: usual };
  const { timeoutMs, retriesMax, tokensMax, baseUrl } = options;
  try {
    const model = await initChatModel(modelName, {
      modelProvider: provider,
      maxRetries: retriesMax,
      ...fields({ timeoutMs, tokensMax, baseUrl }),
      ...(key === undefined ? {} : { apiKey: readKey(provider, key, options) }),
    });
    model.name = url;
    return model;
  } catch (error) {
    if (error instanceof FlashloanError) throw error;
    throw unusable(provider, packageName, error);
  }
}

/** The provider's key. A server of one's own may need none. */
function readKey(provider: string, variable: string, { environment, baseUrl }: ChatModelOptions): string {
  const { [variable]: key } = readConfig({ [variable]: z.string().optional() }, environment);
  if (key !== undefined) return key;
  if (baseUrl !== undefined) return "none";
  throw new FlashloanError(
    "config_invalid",
    `the chat model of ${provider} needs a key: set ${variable} or ${variable}_FILE, or use rules:, which needs none`,
  );
}

function unknownModel(url: string, providers: readonly string[]): FlashloanError {
  const scheme = url.includes(":") ? url.slice(0, url.indexOf(":") + 1) : url.slice(0, 20);
  const known = `rules: or PROVIDER:MODEL with one of ${providers.join(", ")}`;
  return new FlashloanError("config_invalid", `there is no chat model for "${scheme}": use ${known}`);
}

function unusable(provider: string, packageName: string, error: unknown): FlashloanError {
  const message = redactSecrets(error instanceof Error ? error.message : String(error));
  // LangChain's words for a package that isn't there.
  const cure = /unable to import|cannot find (?:package|module)/i.test(message)
    ? `${packageName} is not installed: pnpm --filter @flashloan/chat-model add ${packageName}`
    : message;
  return new FlashloanError("config_invalid", `the chat model of ${provider} can't be used: ${cure}; or use rules:`);
}
