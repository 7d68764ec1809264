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
          // The first PGlite of a cold machine takes many seconds to compile.
          testTimeout: 60_000,
          hookTimeout: 120_000,
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
            "tests/supervision/**",
            "tests/swarm/swarm.test.ts",
            "**/node_modules/**",
            "**/dist/**",
          ],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // Real servers, real time: a machine that stalls for seconds is not a fault of ours. The report names what took
          // a second attempt.
          retry: 1,
          // Each file starts processes of its own: one at a time keeps two cores honest.
          fileParallelism: false,
        },
      },
      {
        ...shared,
        test: {
          name: "containers",
          include: ["tests/compose/**/*.test.ts", "tests/supervision/**/*.test.ts", "tests/swarm/swarm.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          retry: 1,
          // What a test leaves behind is what the next one starts from.
          bail: 1,
          fileParallelism: false,
        },
      },
    ],
  },
});
