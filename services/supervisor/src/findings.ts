import { z } from "zod";
import { FAULTS } from "./unit.ts";

/** Why a unit fails, as far as a diagnosis may say. */
const CAUSES = [
  "code_fault",
  "out_of_memory",
  "dependency_down",
  "configuration",
  "overload",
  "infrastructure",
  "unknown",
] as const;

/** What a diagnosis may recommend, and no more: the deterministic part has the same actions. */
const PATTERNS = ["none", "wait", "restart", "quarantine", "release"] as const;

export const EXPLANATION_CHARS_MAX = 2_000;
export const STACK_CHARS_MAX = 4_096;
export const MESSAGE_CHARS_MAX = 500;
const FILE_CHARS_MAX = 256;

/** What a diagnosis is. Whoever made it, it is believed only as far as this goes. */
export const diagnosisSchema = z
  .object({
    cause: z.enum(CAUSES).describe("why the unit fails; unknown where the evidence does not show it"),
    pattern: z
      .enum(PATTERNS)
      .describe(
        "none: nothing to do; wait: it recovers by itself or with what it needs; restart: a fresh process helps; " +
          "quarantine: leave it down for an operator, restarts don't help; release: end a quarantine whose cause is gone",
      ),
    explanation: z
      .string()
      .min(1)
      .max(EXPLANATION_CHARS_MAX)
      .describe("for an operator: what happened, and the evidence for it"),
    confidence: z.number().min(0).max(1),
    codeFault: z
      .object({
        file: z.string().max(FILE_CHARS_MAX).optional().describe("path within the repository"),
        line: z.number().int().min(1).max(1_000_000).optional(),
        message: z.string().min(1).max(MESSAGE_CHARS_MAX),
        stack: z.string().max(STACK_CHARS_MAX),
      })
      .optional()
      .describe("only with code_fault: where the fault is in the platform's own code"),
  })
  .meta({ title: "diagnosis", description: "The diagnosis: call this once, last." });
/** @see diagnosisSchema */
export type Diagnosis = z.infer<typeof diagnosisSchema>;

/** Name of the structured output in which a model gives its diagnosis. */
export const DIAGNOSIS_NAME = "diagnosis";

const incidentBriefSchema = z.object({
  id: z.string(),
  unit: z.string(),
  fault: z.enum(FAULTS),
  reason: z.string(),
  /** ISO 8601. */
  openedAt: z.string(),
  /** What was done about it so far, oldest first, such as `restart`. */
  actions: z.array(z.string()),
});

/** An incident, as far as a diagnosis needs to know it. */
export interface IncidentBrief extends Readonly<Omit<z.infer<typeof incidentBriefSchema>, "actions">> {
  readonly actions: readonly string[];
}

/** What is known of a failing unit, beside its incident. */
export const SOURCES = ["recent_logs", "metrics", "recent_traces", "recent_changes", "earlier_incidents"] as const;
/** @see SOURCES */
export type Source = (typeof SOURCES)[number];

/** Lines of each source, oldest first; a metric's is its name and value. */
export type Facts = Readonly<Record<Source, readonly string[]>>;

/** An incident as one line of a question. */
export function incidentLine(incident: IncidentBrief): string {
  return JSON.stringify(incident);
}

/** The incident that a question is about: its first line that holds one. */
export function incidentOf(question: string): IncidentBrief | undefined {
  for (const line of question.split("\n")) {
    if (!line.startsWith("{")) continue;
    const parsed = incidentBriefSchema.safeParse(parseJson(line));
    if (parsed.success) return parsed.data;
  }
  return undefined;
}

/** What a tool answers: lines of others, marked as such. */
export function evidenceText(source: Source, lines: readonly string[]): string {
  const content = lines.map((line) => line.replaceAll(/<(?=\/?evidence)/gi, "‹"));
  return [`<evidence source="${source}">`, ...content, "</evidence>"].join("\n");
}

/** The lines within what a tool answered. */
export function evidenceLines(text: string | undefined): string[] {
  return (text ?? "").split("\n").filter((line) => line !== "" && !/^<\/?evidence\b/.test(line));
}

/** The value of a JSON text, or nothing where it isn't one. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
