import type { EngineProxyConfig } from "./config.ts";
import { GRACE_S_MAX, LOG_LINES_MAX } from "./limits.ts";
import { Refusal } from "./refusal.ts";

const GRACE_S_DEFAULT = 10;
const LOG_LINES_DEFAULT = 100;

/** Everything that the proxy can be asked. */
export type Route =
  | { readonly kind: "events" }
  | { readonly kind: "ping" | "containers" | "services" | "tasks" | "nodes" }
  | { readonly kind: "container" | "service_restart"; readonly id: string }
  | { readonly kind: "container_logs" | "service_logs"; readonly id: string; readonly tail: number }
  | { readonly kind: "container_start"; readonly id: string }
  | { readonly kind: "container_restart"; readonly id: string; readonly graceS: number };

interface Rule {
  readonly method: "GET" | "POST";
  /** Full ids only: a name or a prefix could come to mean something else between the look and the deed. */
  readonly path: RegExp;
  readonly query?: { readonly name: string; readonly max: number };
  readonly route: (id: string, value: number | undefined) => Route;
}

const COMMON: readonly Rule[] = [
  { method: "GET", path: /^\/_ping$/, route: () => ({ kind: "ping" }) },
  { method: "GET", path: /^\/events$/, route: () => ({ kind: "events" }) },
];
const tail = { name: "tail", max: LOG_LINES_MAX };

const RULES: Readonly<Record<EngineProxyConfig["ENGINE_PROXY_SCOPE"], readonly Rule[]>> = {
  compose: [
    ...COMMON,
    { method: "GET", path: /^\/containers\/json$/, route: () => ({ kind: "containers" }) },
    { method: "GET", path: /^\/containers\/([0-9a-f]{64})\/json$/, route: (id) => ({ kind: "container", id }) },
    {
      method: "GET",
      path: /^\/containers\/([0-9a-f]{64})\/logs$/,
      query: tail,
      route: (id, lines = LOG_LINES_DEFAULT) => ({ kind: "container_logs", id, tail: lines }),
    },
    { method: "POST", path: /^\/containers\/([0-9a-f]{64})\/start$/, route: (id) => ({ kind: "container_start", id }) },
    {
      method: "POST",
      path: /^\/containers\/([0-9a-f]{64})\/restart$/,
      query: { name: "t", max: GRACE_S_MAX },
      route: (id, graceS = GRACE_S_DEFAULT) => ({ kind: "container_restart", id, graceS }),
    },
  ],
  swarm: [
    ...COMMON,
    { method: "GET", path: /^\/services$/, route: () => ({ kind: "services" }) },
    { method: "GET", path: /^\/tasks$/, route: () => ({ kind: "tasks" }) },
    { method: "GET", path: /^\/nodes$/, route: () => ({ kind: "nodes" }) },
    {
      method: "GET",
      path: /^\/services\/([0-9a-z]{25})\/logs$/,
      query: tail,
      route: (id, lines = LOG_LINES_DEFAULT) => ({ kind: "service_logs", id, tail: lines }),
    },
    { method: "POST", path: /^\/services\/([0-9a-z]{25})\/restart$/, route: (id) => ({ kind: "service_restart", id }) },
  ],
};

/**
 * What a request asks for. The target is taken as it was sent, nothing is decoded or normalised: what is not, byte for byte,
 * one of the few that there are is refused.
 * @throws Refusal not_allowed, argument_invalid
 */
export function routeOf(scope: EngineProxyConfig["ENGINE_PROXY_SCOPE"], method: string, target: string): Route {
  const mark = target.indexOf("?");
  const [path, query] = mark < 0 ? [target, undefined] : [target.slice(0, mark), target.slice(mark + 1)];
  for (const rule of RULES[scope]) {
    const match = rule.path.exec(path);
    if (match && rule.method === method) return rule.route(match[1] ?? "", queryValue(rule, query));
  }
  throw new Refusal("not_allowed", "this is not among the few things that the proxy lets through: docs/operating.md");
}

function queryValue({ query: allowed }: Rule, query: string | undefined): number | undefined {
  if (query === undefined) return undefined;
  const value = allowed && new RegExp(`^${allowed.name}=(\\d{1,4})$`).exec(query)?.[1];
  if (allowed && value !== undefined && Number(value) <= allowed.max) return Number(value);
  const wanted = allowed ? `only ${allowed.name}=0 to ${allowed.max}` : "no query";
  throw new Refusal("argument_invalid", `this path takes ${wanted}`);
}
