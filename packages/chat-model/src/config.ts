import { integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";
import { z } from "zod";

/** The environment that chooses a chat model. A provider's key has the provider's own name, such as OPENAI_API_KEY. */
export const chatModelConfigSchema = {
  CHAT_MODEL_URL: textVariable(
    "the chat model: rules: (no key, no network), or PROVIDER:MODEL such as openai:gpt-5-mini, anthropic:claude-haiku-4-5, ollama:qwen3:8b",
    "rules:",
  ),
  CHAT_MODEL_BASE_URL: z
    .string()
    .optional()
    .transform((text) => (text === "" ? undefined : text))
    .describe("another server that speaks the provider's protocol, such as http://localhost:8000/v1"),
  CHAT_MODEL_TIMEOUT_MS: integerVariable(100, 600_000, 20_000, "time of one request to the chat model"),
  CHAT_MODEL_RETRIES_MAX: integerVariable(0, 10, 1, "how often a request that failed is tried again"),
  CHAT_MODEL_TOKENS_MAX: integerVariable(64, 100_000, 2_000, "tokens of one answer"),
};
/** @see chatModelConfigSchema */
export type ChatModelConfig = ConfigOf<typeof chatModelConfigSchema>;
