import { parser } from "@prometheus-io/lezer-promql";

type Node = ReturnType<typeof parser.parse>["topNode"];

/** A condition on a label. */
export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

/** A metric that an expression reads. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

/** A label that series are grouped or joined by, with the metrics of which one must have it. */
export interface Grouping {
  readonly label: string;
  readonly metrics: readonly string[];
}

/** What an expression reads. */
export interface Reading {
  readonly selectors: readonly Selector[];
  readonly groupings: readonly Grouping[];
}

/** The variables that Grafana puts in, as they are on a dashboard of half an hour with scrapes every 5 s. */
export function withoutVariables(expression: string): string {
  return expression.replaceAll("$__rate_interval", "20s").replaceAll("$__range", "30m");
}

/** Reads an expression by Prometheus's own grammar. @throws SyntaxError where it is none */
export function read(expression: string): Reading {
  const text = withoutVariables(expression);
  const nodes: Node[] = [];
  parser.parse(text).iterate({
    enter: ({ type, node }) => {
      if (type.isError) throw new SyntaxError(`not PromQL at "${text.slice(node.from, node.from + 20)}" in ${text}`);
      nodes.push(node);
    },
  });
  const of = (node: Node): string => text.slice(node.from, node.to);
  const within = (outer: Node, name: string): Node[] =>
    nodes.filter((node) => node.name === name && node.from >= outer.from && node.to <= outer.to);
  const selectorOf = (node: Node): Selector => ({
    metric: node.getChild("Identifier") ? of(node.getChild("Identifier") as Node) : "",
    matchers: within(node, "UnquotedLabelMatcher").map((matcher) => ({
      label: of(matcher.getChild("LabelName") as Node),
      operator: of(matcher.getChild("MatchOp") as Node),
      value: JSON.parse(of(matcher.getChild("StringLiteral") as Node)) as string,
    })),
  });
  const whole = nodes[0] as Node;
  return {
    selectors: within(whole, "VectorSelector").map(selectorOf),
    groupings: within(whole, "GroupingLabels").flatMap((labels) => {
      let scope: Node = labels;
      while (scope.parent && scope.name !== "AggregateExpr" && scope.name !== "BinaryExpr") scope = scope.parent;
      const metrics = within(scope, "VectorSelector").map((node) => selectorOf(node).metric);
      return within(labels, "LabelName").map((label) => ({ label: of(label), metrics }));
    }),
  };
}
