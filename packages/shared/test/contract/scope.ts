import { randomUUID } from "node:crypto";

/** A word that no other test has used: adapters of real servers share one server, which keeps what earlier tests left. */
export function newScope(): string {
  return `t${randomUUID().slice(0, 13)}`;
}
