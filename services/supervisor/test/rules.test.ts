import { describe, expect, it } from "vitest";
import { diagnosisSchema, type Facts, type IncidentBrief } from "../src/findings.ts";
import { diagnoseByRules } from "../src/rules.ts";
import { CRASH, facts, incident, logLine } from "./incidents.ts";

/** What node writes when an exception ends it and nothing of ours could log it. */
const RAW_CRASH = [
  "file:///app/services/hft-executor/dist/src/lane.js:88",
  "            throw new Error(`nonce ${nonce} is used`);",
  "                  ^",
  "",
  "Error: nonce 7 is used",
  "    at Lane.next (file:///app/services/hft-executor/dist/src/lane.js:88:19)",
  "    at async Executor.step (file:///app/services/hft-executor/dist/src/executor.js:201:9)",
  "",
  "Node.js v24.21.0",
];
const V8_CRASH = [
  "<--- Last few GCs --->",
  "[1:0x7f3] 81234 ms: Mark-Compact 505.1 (520.9) -> 504.2 (521.1) MB, allocation failure; scavenge might not succeed",
  "FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory",
];
const CONFIG_FAULT = logLine("fatal", "start_failed", {
  error: {
    code: "config_invalid",
    message:
      'The configuration has 1 fault(s):\n  RISK_MAX_LOSS_WEI is "many": must be a whole, non-negative number of base units',
  },
});
const NO_DATABASE = logLine("fatal", "start_failed", {
  error: {
    code: "service_unavailable",
    message: "connect ECONNREFUSED 10.0.3.7:5432",
    stack: "Error: connect\n    at x (/app/packages/shared/dist/src/rpc-client.js:3:1)",
  },
});
const THRICE = ["inc-2 crash", "inc-3 crash", "inc-4 crash"];

const CASES: readonly [string, Partial<IncidentBrief>, Partial<Facts>, string, string][] = [
  [
    "an uncaught exception with its stack",
    {},
    { recent_logs: [logLine("info", "ready"), CRASH] },
    "code_fault",
    "restart",
  ],
  ["the runtime's own last words", {}, { recent_logs: RAW_CRASH }, "code_fault", "restart"],
  [
    "an exception that comes again and again",
    {},
    { recent_logs: [CRASH], earlier_incidents: THRICE },
    "code_fault",
    "quarantine",
  ],
  ["a heap that is full", {}, { recent_logs: V8_CRASH }, "out_of_memory", "restart"],
  [
    "a container that the kernel ended",
    { fault: "out_of_memory", reason: "exited with code 137" },
    {},
    "out_of_memory",
    "restart",
  ],
  ["exit 137 alone", { reason: "exited with code 137" }, {}, "out_of_memory", "restart"],
  [
    "memory that is full each time",
    { fault: "out_of_memory", actions: ["restart", "restart", "restart"] },
    {},
    "out_of_memory",
    "quarantine",
  ],
  ["a setting that can't be", {}, { recent_logs: [CONFIG_FAULT] }, "configuration", "quarantine"],
  [
    "a database that refuses, which ends the unit",
    { fault: "restart_failed" },
    { recent_logs: [NO_DATABASE] },
    "dependency_down",
    "wait",
  ],
  [
    "a need that is not met, by its metric",
    { fault: "unhealthy" },
    { metrics: ['flashloan_need_met{need="chain"} 0', "flashloan_ready 0"] },
    "dependency_down",
    "wait",
  ],
  [
    "a need that is not met, by its log",
    { fault: "unhealthy" },
    { recent_logs: [logLine("warn", "not_ready", { unmet: ["database"] })] },
    "dependency_down",
    "wait",
  ],
  [
    "a peer that refuses, by its traces",
    { fault: "unhealthy" },
    { recent_traces: ["Append failed: 14 UNAVAILABLE: No connection established"] },
    "dependency_down",
    "wait",
  ],
  [
    "an event loop that is held",
    { fault: "no_answer", reason: "no answer within 2 s, 3 times" },
    { metrics: ["flashloan_event_loop_delay_seconds 7.4"] },
    "overload",
    "restart",
  ],
  [
    "an event loop that was held until the process was killed",
    { fault: "loop_blocked", reason: "the event loop was blocked for 3000 ms" },
    { recent_logs: [CRASH] },
    "code_fault",
    "restart",
  ],
  [
    "an event loop that was held by what can't be seen",
    { fault: "loop_blocked", reason: "the event loop was blocked for 3000 ms" },
    {},
    "code_fault",
    "restart",
  ],
  [
    "an event loop that is late",
    { fault: "unhealthy" },
    { metrics: ["flashloan_event_loop_delay_seconds 0.4"] },
    "overload",
    "wait",
  ],
  [
    "a queue that is full",
    { fault: "stuck" },
    { recent_logs: [logLine("warn", "rpc_failed", { error: { code: "queue_full", message: "64 wait" } })] },
    "overload",
    "restart",
  ],
  [
    "a wrong answer",
    { fault: "wrong_answer", reason: "health says SERVING for a service that it doesn't have" },
    { recent_changes: ["2026-03-04T05:00:00Z deployed 0.1.1"] },
    "code_fault",
    "restart",
  ],
  [
    "a port that is taken",
    { fault: "start_timeout" },
    {
      recent_logs: [
        logLine("fatal", "start_failed", { error: { code: "port_taken", message: "127.0.0.1:50053 is taken" } }),
      ],
    },
    "infrastructure",
    "wait",
  ],
  [
    "a port that is taken, as Docker says it",
    { fault: "restart_failed", reason: "Bind for 0.0.0.0:3000 failed: port is already allocated" },
    {},
    "infrastructure",
    "wait",
  ],
  [
    "a disk that is full",
    {},
    { recent_logs: ["Error: ENOSPC: no space left on device, write"] },
    "infrastructure",
    "wait",
  ],
  [
    "an image that is gone",
    { fault: "restart_failed", reason: "No such image: flashloan/risk-manager:0.1.1" },
    {},
    "infrastructure",
    "wait",
  ],
  ["restarts that don't help", { fault: "no_answer" }, { earlier_incidents: THRICE }, "unknown", "quarantine"],
  ["nothing at all", { fault: "no_answer" }, {}, "unknown", "restart"],
  ["a slow start", { fault: "start_timeout" }, {}, "unknown", "wait"],
  [
    "a quarantine after which something was deployed",
    { actions: ["restart", "quarantine"] },
    { recent_changes: ["2026-03-04T06:00:00Z deployed 0.1.2"], recent_logs: [CRASH] },
    "unknown",
    "release",
  ],
  [
    "a quarantine before which something was deployed",
    { actions: ["quarantine"] },
    { recent_changes: ["2026-03-04T04:00:00Z deployed 0.1.2"], recent_logs: [CRASH] },
    "code_fault",
    "restart",
  ],
];

describe("a diagnosis by rules", () => {
  it.each(CASES)("%s", (_, brief, known, cause, pattern) => {
    const diagnosis = diagnoseByRules(incident(brief), facts(known));
    expect(diagnosis).toMatchObject({ cause, pattern });
    expect(diagnosisSchema.parse(diagnosis)).toEqual(diagnosis);
    expect(diagnosis.codeFault === undefined).toBe(cause !== "code_fault");
  });

  it("names the place in our code, not a library's", () => {
    expect(diagnoseByRules(incident(), facts({ recent_logs: [CRASH] })).codeFault).toMatchObject({
      file: "services/risk-manager/dist/src/gas-budget.js",
      line: 41,
      message: "Cannot read properties of undefined (reading 'gasWei')",
    });
    const raw = diagnoseByRules(incident(), facts({ recent_logs: RAW_CRASH })).codeFault;
    expect(raw).toMatchObject({
      file: "services/hft-executor/dist/src/lane.js",
      line: 88,
      message: "Error: nonce 7 is used",
    });
    expect(raw?.stack).toContain("executor.js:201:9");
  });

  it("goes by the newest of two failures", () => {
    const cause = (recent_logs: string[]): string => diagnoseByRules(incident(), facts({ recent_logs })).cause;
    expect(cause([NO_DATABASE, CRASH])).toBe("code_fault");
    expect(cause([CRASH, NO_DATABASE])).toBe("dependency_down");
    expect(cause(["write: ENOSPC", NO_DATABASE, CRASH])).toBe("code_fault");
  });

  it("is not confused by logs of another shape, and never too long", () => {
    const odd = [
      "{",
      '{"error":7,"event":{}}',
      '{"error":{"stack":["x"]},"level":"fatal"}',
      "null",
      "\u0000",
      "x".repeat(50_000),
    ];
    const long = logLine("fatal", "process_failed", {
      error: {
        message: "m".repeat(9_000),
        stack: `Error\n    at x (/app/packages/amm/src/a.ts:1:1)\n${"y".repeat(9_000)}`,
      },
    });
    expect(diagnoseByRules(incident(), facts({ recent_logs: odd, metrics: odd })).cause).toBe("unknown");
    const diagnosis = diagnoseByRules(incident({ reason: "r".repeat(90_000) }), facts({ recent_logs: [long] }));
    expect(diagnosisSchema.parse(diagnosis)).toMatchObject({ codeFault: { file: "packages/amm/src/a.ts", line: 1 } });
  });

  it("takes no path that leaves the repository", () => {
    const log = logLine("fatal", "process_failed", {
      error: { message: "m", stack: "Error\n    at x (/packages/amm/src/../../../etc/x.js:1:1)" },
    });
    expect(diagnoseByRules(incident(), facts({ recent_logs: [log] })).codeFault).not.toHaveProperty("file");
  });
});
