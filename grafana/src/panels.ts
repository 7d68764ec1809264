import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  TableCellDisplayMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
  type DataSourceRef,
} from "@grafana/grafana-foundation-sdk/common";
import {
  MappingType,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type Panel,
  type ThresholdsConfig,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import {
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  PanelBuilder as HeatmapBuilder,
} from "@grafana/grafana-foundation-sdk/heatmap";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimelineBuilder } from "@grafana/grafana-foundation-sdk/statetimeline";
import { PanelBuilder as TableBuilder } from "@grafana/grafana-foundation-sdk/table";
import { PanelBuilder as PlotBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** Provisioned under this uid by provisioning/datasources: without it every panel would say "No data". */
const PROMETHEUS = { type: "prometheus", uid: "prometheus" } as const satisfies DataSourceRef;

/** One expression of a panel; its legend may name labels of the result in double braces. */
export interface Query {
  readonly expr: string;
  readonly legend: string;
}

/** From this value on, this colour. The first step has no value: it holds from the start. */
export type Step = readonly [color: string, from?: number];

/** What a value, or a range of values, is called. */
export type Meaning = readonly [from: number, to: number, text: string, color: string];

/** What every panel has. Widths are of 24 columns. */
export interface PanelOptions {
  readonly title: string;
  /** What it shows, and what to do when it looks wrong. */
  readonly description: string;
  readonly width: number;
  readonly height?: number;
  readonly unit?: string;
  readonly decimals?: number;
  readonly steps?: readonly Step[];
  readonly meanings?: readonly Meaning[];
  /** Shown when there is no series at all, which here means that nobody can say. */
  readonly unknown?: string;
}

/** The builders' common methods; the library gives them no common type. */
interface Frame {
  title(title: string): this;
  description(description: string): this;
  datasource(datasource: DataSourceRef): this;
  span(width: number): this;
  height(height: number): this;
  unit(unit: string): this;
  decimals(decimals: number): this;
  mappings(mappings: ValueMapping[]): this;
  noValue(text: string): this;
  thresholds(thresholds: Builder<ThresholdsConfig>): this;
}

const NOTHING: readonly Step[] = [["text"]];
const REF_IDS = "ABCDEFGH";

function framed<B extends Frame>(builder: B, options: PanelOptions, height: number): B {
  const { title, description, width, unit, decimals, steps, meanings, unknown } = options;
  const frame = builder
    .title(title)
    .description(description)
    .datasource(PROMETHEUS)
    .span(width)
    .height(options.height ?? height)
    .thresholds(thresholds(steps ?? NOTHING));
  if (unit !== undefined) frame.unit(unit);
  if (decimals !== undefined) frame.decimals(decimals);
  if (meanings) frame.mappings(meanings.map(mapping));
  if (unknown !== undefined) frame.noValue(unknown);
  return frame;
}

function thresholds(steps: readonly Step[]): Builder<ThresholdsConfig> {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([color, value = null]) => ({ color, value })));
}

function mapping([from, to, text, color]: Meaning, index: number): ValueMapping {
  return { type: MappingType.RangeToText, options: { from, to, result: { text, color, index } } };
}

function target({ expr, legend }: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder().datasource(PROMETHEUS).refId(REF_IDS.charAt(index)).expr(expr).legendFormat(legend);
}

/**
 * One figure as it is now. Instant on purpose: the last value of a range would still say ACTIVE of an executor that is
 * gone.
 */
export function stat(options: PanelOptions & { readonly expr: string }): Builder<Panel> {
  return framed(new StatBuilder(), options, 4)
    .targets([target({ expr: options.expr, legend: options.title }, 0).instant()])
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false))
    .colorMode(options.steps || options.meanings ? BigValueColorMode.Background : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None);
}

/** Lines over time. Exemplars are dots that lead to their trace; `line` draws the first threshold. */
export function plot(
  options: PanelOptions & {
    readonly queries: readonly Query[];
    readonly exemplars?: true;
    readonly stacked?: true;
    readonly line?: true;
    /** False where values may be below zero. */
    readonly fromZero?: false;
  },
): Builder<Panel> {
  const panel = framed(new PlotBuilder(), options, 8)
    .targets(
      options.queries.map((query, index) =>
        target(query, index)
          .range()
          .exemplar(options.exemplars === true),
      ),
    )
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(["lastNotNull", "max"]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .showPoints(VisibilityMode.Never)
    .lineWidth(1)
    .fillOpacity(options.stacked ? 30 : 8);
  if (options.fromZero !== false) panel.min(0);
  if (options.stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group("A"));
  if (options.line)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  return panel;
}

/** How a histogram's observations lie over time, with exemplars that lead to their trace. */
export function heatmap(options: PanelOptions & { readonly expr: string }): Builder<Panel> {
  return framed(new HeatmapBuilder(), options, 8)
    .targets([
      target({ expr: options.expr, legend: "{{le}}" }, 0).range().format(PromQueryFormat.Heatmap).exemplar(true),
    ])
    .calculate(false)
    .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme("Blues").steps(64))
    .exemplarsColor("rgba(255,120,50,0.8)")
    .showLegend();
}

/** What each series is and was: one bar a series, coloured by meaning. */
export function timeline(
  options: PanelOptions & { readonly query: Query; readonly meanings: readonly Meaning[] },
): Builder<Panel> {
  return framed(new TimelineBuilder(), options, 8)
    .targets([target(options.query, 0).range()])
    .mergeValues(true)
    .showValue(VisibilityMode.Never)
    .rowHeight(0.8)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    );
}

/** The series as they are now, a row each: the labels in this order, then the value under its own name. */
export function table(
  options: PanelOptions & { readonly expr: string; readonly labels: readonly string[]; readonly value: string },
): Builder<Panel> {
  const { expr, labels, value } = options;
  return framed(new TableBuilder(), options, 8)
    .targets([target({ expr, legend: "" }, 0).instant().format(PromQueryFormat.Table)])
    .withTransformation({ id: "filterFieldsByName", options: { include: { names: [...labels, "Value"] } } })
    .withTransformation({
      id: "organize",
      options: {
        indexByName: Object.fromEntries([...labels, "Value"].map((name, index) => [name, index])),
        renameByName: { Value: value },
      },
    })
    .overrideByName(value, [{ id: "custom.cellOptions", value: { type: TableCellDisplayMode.ColorText } }]);
}
