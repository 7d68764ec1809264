import type { Logger } from "@flashloan/shared/log";
import { unitDeclarationSchema, type UnitDeclaration } from "../unit.ts";

type Labels = Readonly<Record<string, string>>;

/** Where a unit without `flashloan.order` stands in its group: after those that say something. */
const ORDER_DEFAULT = 100;

/** Why a unit could not be read from its labels. */
export interface LabelFault {
  readonly fault: string;
}

/** A unit as its labels declare it; docs/operating.md lists them. @param number of a service that runs several times, from 1 */
export function declarationOf(labels: Labels, number = 1): UnitDeclaration | LabelFault {
  const text = (name: string): string | undefined => labels[`flashloan.${name}`] || undefined;
  const id = text("unit");
  const parsed = unitDeclarationSchema.safeParse({
    id: id !== undefined && number > 1 ? `${id}-${number}` : id,
    group: text("group"),
    dependsOn: (text("depends-on") ?? "").split(",").flatMap((name) => name.trim() || []),
    speaks: text("speaks") ?? "nothing",
    address: text("address"),
    order: Number(text("order") ?? ORDER_DEFAULT),
  });
  if (parsed.success) return parsed.data;
  return { fault: parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ") };
}

/** Says of each thing with unusable labels once that it is not supervised. */
export class LabelFaults {
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  report(id: string, labels: Labels, { fault }: LabelFault): void {
    if (this.#told.has(id)) return;
    this.#told.add(id);
    this.#log.error({ id, labels, fault }, "unit_labels_unusable");
  }

  /** Forgets what is not there any more. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#told) if (!ids.has(id)) this.#told.delete(id);
  }
}
