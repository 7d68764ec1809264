import { describe, expect, it } from "vitest";
import { redactSecrets } from "../src/redaction.ts";

const HEX = "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d";

describe("what looks like a secret", () => {
  it.each([
    ["amqp://app:s3cr3t-pw@rabbit:5672", "amqp://app:[redacted]@rabbit:5672"],
    ["redis://:s3cr3t-pw@cache:6379/0", "redis://:[redacted]@cache:6379/0"],
    ["OPENAI_API_KEY=sk-proj-abcdefghijklmnop", "OPENAI_API_KEY=[redacted]"],
    ['{"apiKey":"abc def","unit":"x"}', '{"apiKey":"[redacted]","unit":"x"}'],
    ['{"log":"{\\"password\\":\\"pw1\\",\\"n\\":1}"}', '{"log":"{\\"password\\":\\"[redacted]\\",\\"n\\":1}"}'],
    ["db.password: hunter2, next: 1", "db.password: [redacted], next: 1"],
    ['mnemonic="test test test junk"', 'mnemonic="[redacted]"'],
    ["Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer [redacted]"],
    ["authorization=abc", "authorization=[redacted]"],
    [`signing with 0x${HEX}`, "signing with [redacted]"],
    [`key ${HEX}.`, "key [redacted]."],
    ["token ghp_abcdefghijklmnop1234", "token [redacted]"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "[redacted]"],
    ["AKIAIOSFODNN7EXAMPLE", "[redacted]"],
    [
      "GET https://mainnet.infura.io/v3/0123456789abcdef0123456789abcdef?x=1",
      "GET https://mainnet.infura.io/v3/[redacted]?x=1",
    ],
    ["-----BEGIN EC PRIVATE KEY-----\nMHcC\nAQEE\n-----END EC PRIVATE KEY-----\nnext", "[redacted]\nnext"],
    ['"-----BEGIN PRIVATE KEY-----\\nMHcC\\nAQEE', '"[redacted]'],
  ])("goes: %s", (text, expected) => {
    expect(redactSecrets(text)).toBe(expected);
  });

  it.each([
    "at Lane.next (file:///app/services/hft-executor/dist/src/lane.js:88:19)",
    "0x6B175474E89094C44Da98b954EedeAC495271d0F spent 12 wei",
    '{"trace_id":"0af7651916cd43dd8448eb211c80319c","event":"ready"}',
    "http://127.0.0.1:8545/ answered in 3 ms",
    'token: "WETH", keyless: true',
  ])("only that: %s", (text) => {
    expect(redactSecrets(text)).toBe(text);
  });

  it("is found in linear time in hostile text", () => {
    const started = performance.now();
    for (const piece of ["api_key", "password=", "a-", "://a:", "-----BEGIN PRIVATE KEY-----", "eyJaaaaaaaa.", "/a1b2"])
      redactSecrets(piece.repeat(100_000 / piece.length));
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
