import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import { plot, stat } from "./panels.ts";

const GROSS = "sum(flashloan_profit_ether_total)";
const PREMIUM = "sum(flashloan_premium_ether_total)";
const GAS = "sum(flashloan_gas_ether_total)";
/** The one definition of net profit: the console, the API and `flashloan trades` have the same. */
const NET = `${GROSS} - ${PREMIUM} - ${GAS}`;
const ETHER = "suffix: ether";
const SOURCE = "As the executor counts it; the exact wei of each trade are in the ledger: `flashloan trades`.";

/** Net profit and its parts. */
export function moneyFigures(): Builder<Panel>[] {
  const figure = { width: 6, unit: ETHER, decimals: 6, unknown: "NO EXECUTOR" };
  return [
    stat({
      ...figure,
      title: "Net profit",
      description: `Gross profit of settled trades, less flash-loan premiums, less all gas paid, that of reverted transactions included. ${SOURCE}`,
      expr: NET,
      steps: [["red"], ["text", 0], ["green", 1e-9]],
    }),
    stat({ ...figure, title: "Gross profit", description: `Before premium and gas. ${SOURCE}`, expr: GROSS }),
    stat({ ...figure, title: "Flash-loan premium", description: `Paid to lenders. ${SOURCE}`, expr: PREMIUM }),
    stat({
      ...figure,
      title: "Gas",
      description: `Paid for settled, reverted and cancelled transactions. ${SOURCE}`,
      expr: GAS,
    }),
  ];
}

/** The same four over time. */
export function moneyPlot(width: number): Builder<Panel> {
  return plot({
    title: "Profit and its parts",
    description: `Net = gross - premium - gas. ${SOURCE}`,
    width,
    unit: ETHER,
    decimals: 6,
    fromZero: false,
    queries: [
      { expr: NET, legend: "net" },
      { expr: GROSS, legend: "gross" },
      { expr: PREMIUM, legend: "premium" },
      { expr: GAS, legend: "gas" },
    ],
  });
}
