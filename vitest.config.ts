import { defineConfig } from "vitest/config";

// `unit` beside what it tests, fast enough for the gate; `system` starts chains and whole platforms; `containers` needs
// a Docker engine.
const conditions = ["@flashloan/source"];
const shared = { resolve: { conditions }, ssr: { resolve: { conditions } } };

export default defineConfig({
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "services/*/test/**/*.test.ts"],
          exclude: ["**/*.parity.test.ts", "**/*.system.test.ts", "**/node_modules/**", "**/dist/**"],
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: "system",
          include: [
            "packages/*/test/**/*.{parity,system}.test.ts",
            "services/*/test/**/*.system.test.ts",
            "tests/**/*.test.ts",
          ],
          exclude: [
            "tests/compose/**",
            "tests/supervision/sandbox-executor.test.ts",
            "tests/swarm/swarm.test.ts",
            "**/node_modules/**",
            "**/dist/**",
          ],
          testTimeout: 300_000,
          hookTimeout: 120_000,
          // Each file starts processes of its own: one at a time keeps two cores honest.
          fileParallelism: false,
        },
      },
      {
        ...shared,
        test: {
          name: "containers",
          include: [
            "tests/compose/**/*.test.ts",
            "tests/supervision/sandbox-executor.test.ts",
            "tests/swarm/swarm.test.ts",
          ],
          testTimeout: 600_000,
          hookTimeout: 120_000,
          // What a test leaves behind is what the next one starts from.
          bail: 1,
          fileParallelism: false,
        },
      },
    ],
  },
});
