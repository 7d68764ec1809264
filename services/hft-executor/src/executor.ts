import { z } from "zod";
import { encodeExecute } from "@flashloan/contracts/encode";
import { getHead, getNonce, type Header } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Signer } from "@flashloan/evm/transaction";
import type { BlockReport, Opportunity } from "@flashloan/proto/predictor/v1/predictor";
import type { RestoreOutcomesRequest } from "@flashloan/proto/risk/v1/risk";
import type { Clock } from "@flashloan/shared/clock";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import { currentTraceparent, inTrace, type Tracing } from "@flashloan/shared/telemetry/tracing";
import type { Accounts } from "./accounting.ts";
import { bid, type Bid, type BidPolicy } from "./bidding.ts";
import { Books } from "./books.ts";
import { buildCall, intentIdOf } from "./build.ts";
import type { FaultPoint } from "./fault-points.ts";
import type { IntentLedger, PlainRecord } from "./intent-ledger.ts";
import { newIntent, type Intent, type IntentStep, type PlanRecord } from "./intent.ts";
import { Lane } from "./lane.ts";
import type { ExecutorMetrics, RejectionStage } from "./metrics.ts";
import type { PlanFacts, RiskClient, Stage } from "./risk-client.ts";
import { riskHistory } from "./risk-history.ts";
import { asFound, hopsOf, poolsOf, type Choice } from "./selection.ts";
import type { Selector } from "./selector.ts";
import { simulate, type Simulation } from "./simulation.ts";

/** Whether plans are executed. */
export type ExecutionState = "ACTIVE" | "PAUSED" | "KILLED";
/** Whether transactions are sent. */
export type ExecutionMode = "PAPER" | "LIVE";

/** How the executor works; fixed for its life. */
export interface ExecutorSettings {
  readonly chainId: number;
  readonly genesisHash: Hex;
  readonly accounts: Accounts;
  readonly bidPolicy: BidPolicy;
  /** Blocks, the inclusion's own counted, after which a transaction is final. */
  readonly confirmations: number;
  /** Intents that may be signed and not final at once. */
  readonly inFlightMax: number;
  /** Seconds between blocks, for the timestamp of simulations. */
  readonly blockTimeS: number;
  readonly initialMode: ExecutionMode;
}

/** What the executor works with. */
export interface ExecutorDependencies {
  readonly rpc: JsonRpc;
  readonly ledger: IntentLedger;
  readonly risk: RiskClient;
  readonly selector: Selector;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tracing: Tracing;
  readonly metrics: ExecutorMetrics;
  readonly settings: ExecutorSettings;
  /** Called after every change of an intent. */
  readonly onIntent: (intent: Intent) => void;
  /** Called when an opportunity ends before it is signed. */
  readonly onRejected: (opportunity: Opportunity, reason: string) => void;
  /** Named places where a crash campaign may kill the process; does nothing otherwise. */
  readonly faultPoint: (point: FaultPoint) => void;
}

/** Why an opportunity ends before it is signed, and where. */
interface Rejection {
  readonly stage: RejectionStage;
  readonly reason: string;
}

/** A report and when it came, by the monotonic clock. */
interface ArrivedReport {
  readonly report: BlockReport;
  readonly arrivedMs: number;
}

const DRAIN_POLL_MS = 50;
const CONTROL_STREAM = "platform:control";
const controlSchema = z.object({ state: z.enum(["ACTIVE", "PAUSED", "KILLED"]), reason: z.string() });

/**
 * Takes opportunities one block at a time and hands what is approved to the lane. Work is serialized: the newest head
 * and the newest report wait, older ones are stale.
 */
export class Executor {
  readonly #d: ExecutorDependencies;
  readonly books: Books;
  readonly lane: Lane;
  /** The block after which this run accounts for everything. */
  readonly runFromBlock: number;
  /** Opportunities that ended before they were signed, by reason. */
  readonly endedUnsigned = new Map<string, bigint>();
  #controlSequence: bigint;
  /** Changes of state, one after the other; the newest order wins, whatever the ledger takes for an earlier one. */
  #controlling: Promise<unknown> = Promise.resolve();
  #orders = 0;
  #state: ExecutionState = "ACTIVE";
  #reason = "started";
  #mode: ExecutionMode;
  /** When an operator last resumed trading; 0 when never. */
  #resumedAtMs: number;
  /** Of the newest head, before which nothing is considered. */
  #blockGasMax = 0n;
  #pendingHead: Header | undefined;
  #pendingReport: ArrivedReport | undefined;
  #working: Promise<void> | undefined;
  #telling: Promise<void> | undefined;
  #draining = false;
  #stopped = false;
  #isLeading = true;

  private constructor(
    dependencies: ExecutorDependencies,
    books: Books,
    intents: Map<Hex, Intent>,
    control: readonly PlainRecord[],
    start: { nextNonce: number; runFromBlock: number },
  ) {
    const { settings, risk: _, ...shared } = dependencies;
    this.#d = dependencies;
    this.books = books;
    this.runFromBlock = start.runFromBlock;
    this.#mode = settings.initialMode;
    this.#controlSequence = BigInt(control.length);
    const newest = control.at(-1);
    if (newest) ({ state: this.#state, reason: this.#reason } = controlSchema.parse(newest.payload));
    const resumed = control.findLast(({ payload }) => controlSchema.parse(payload).state === "ACTIVE");
    this.#resumedAtMs = resumed?.committedAtMs ?? 0;
    const laneDependencies = {
      ...shared,
      ...settings,
      maySend: () => this.#isLeading && this.#state !== "KILLED",
      onIntent: (intent: Intent) => {
        dependencies.metrics.intentChanged(intent);
        dependencies.onIntent(intent);
      },
      // An outage here is made good with the next question, a crash with the next start: all outcomes are told again.
      onFinal: (intent: Intent) =>
        this.#recordOutcome(intent).catch((error: unknown) =>
          dependencies.log.error({ error, intentId: intent.id }, "outcome_not_recorded"),
        ),
    };
    this.lane = new Lane(laneDependencies, intents, start.nextNonce);
  }

  /**
   * Takes the lead of the signer's lane, reads the ledger, checks it against the chain and takes up what a crash left
   * open. Whatever executor led before can't write any more, so that what is read is the last word.
   * @throws FlashloanError chain_mismatch when the ledger belongs to another chain, or the chain went back
   */
  static async recover(dependencies: ExecutorDependencies): Promise<Executor> {
    const { ledger, rpc, settings, signer, log, faultPoint, metrics } = dependencies;
    faultPoint("before_append_LEAD");
    // By chain too, so that one that was started on a wrong chain deposes nobody before it is refused.
    await ledger.takeLead(`${settings.genesisHash}:${signer.address}`);
    faultPoint("after_append_LEAD");
    const { intents, plain } = await ledger.readAll();
    metrics.ledgerRead(intents.values());
    const head = await getHead(rpc);
    const books = await Books.open({ rpc, ledger, ...settings, faultPoint }, intents, plain, head);
    const isNew = intents.size === 0 && books.baseline.blockHash === head.hash;
    const chainNonce = await getNonce(rpc, signer.address, "latest");
    let ledgerNonce = books.baseline.firstNonce;
    for (const { signed } of intents.values()) ledgerNonce = Math.max(ledgerNonce, (signed[0]?.nonce ?? -1) + 1);
    if (chainNonce > ledgerNonce) log.error({ chainNonce, ledgerNonce }, "key_used_elsewhere");
    const start = {
      nextNonce: Math.max(chainNonce, ledgerNonce),
      runFromBlock: isNew ? books.baseline.blockNumber : head.number,
    };
    const executor = new Executor(dependencies, books, intents, plain.get(CONTROL_STREAM) ?? [], start);
    metrics.follow(executor);
    // The risk manager's budgets and breaker are in memory, and start from the ledger. One that is down is told with the
    // first question or block after that: until then it approves nothing.
    await executor.#keepRiskTold();
    const { lane, state, mode } = executor;
    log.info({ intents: intents.size, open: lane.open.size, ...start, state, mode }, "executor_recovered");
    executor.onHead(head);
    await executor.#working;
    return executor;
  }

  get state(): ExecutionState {
    return this.#state;
  }
  get reason(): string {
    return this.#reason;
  }
  get mode(): ExecutionMode {
    return this.#mode;
  }
  /** False once a later start has taken the lead of this lane: then nothing is signed or sent here any more. */
  get isLeading(): boolean {
    return this.#isLeading;
  }

  /** A new head of the chain. */
  onHead(header: Header): void {
    this.#blockGasMax = header.gasLimit;
    this.#pendingHead = header;
    this.#kick();
  }

  /** A new report of the predictor; one that is still waiting is stale and replaced. */
  onReport(report: BlockReport): void {
    this.#pendingReport = { report, arrivedMs: this.#d.clock.monotonic() };
    this.#kick();
  }

  /**
   * Pauses, resumes or kills; in the ledger too, so that a restart does not undo a kill.
   * @throws FlashloanError trading_killed when a kill would be softened to a pause
   */
  async setState(state: ExecutionState, reason: string): Promise<void> {
    const { log, clock } = this.#d;
    if (state === "PAUSED" && this.#state === "KILLED")
      throw new FlashloanError("trading_killed", `execution is killed (${this.#reason}): resume it before pausing it`);
    this.#orders += 1;
    const order = this.#orders;
    // Stopping must work even when the ledger does not: it takes effect first. Resuming waits for the ledger.
    if (state !== "ACTIVE") [this.#state, this.#reason] = [state, reason];
    const ledgered = this.#controlling.then(() => this.#ledgerState(state, reason));
    this.#controlling = ledgered.catch(() => undefined);
    try {
      await ledgered;
    } catch (error) {
      if (state === "ACTIVE") throw error;
      log.error({ error, state }, "state_not_ledgered");
    }
    // A resume that was overtaken by a later stop must not undo it.
    if (order === this.#orders) [this.#state, this.#reason] = [state, reason];
    if (state === "ACTIVE") this.#resumedAtMs = clock.now();
    log.warn({ state: this.#state, reason: this.#reason }, "execution_state_changed");
  }

  async #ledgerState(state: ExecutionState, reason: string): Promise<void> {
    const { ledger, faultPoint } = this.#d;
    faultPoint("before_append_STATE");
    // The stream's own length, asked each time: an answer that was lost leaves nothing out of step.
    this.#controlSequence = await ledger.lengthOf(CONTROL_STREAM, this.#controlSequence);
    await ledger.appendPlain(CONTROL_STREAM, this.#controlSequence, "STATE", { state, reason });
    faultPoint("after_append_STATE");
  }

  /** Arms or disarms. @throws FlashloanError not_armed when the typed hash is not this chain's genesis, or the ledger is not power-safe */
  async setMode(mode: ExecutionMode, genesisHash: string, devnetGenesisHash: string | undefined): Promise<void> {
    const { settings, ledger, log } = this.#d;
    if (mode === "LIVE") {
      if (genesisHash !== settings.genesisHash)
        throw new FlashloanError("not_armed", `to arm LIVE, give this chain's genesis hash (${settings.genesisHash})`);
      if (settings.genesisHash !== devnetGenesisHash && !(await ledger.isPowerSafe()))
        throw new FlashloanError(
          "not_armed",
          "the ledger's database does not survive a power cut (pglite: never fsyncs): use PostgreSQL before arming LIVE on a real chain",
        );
    }
    this.#mode = mode;
    log.warn({ mode }, "execution_mode_changed");
  }

  /** Takes nothing new and waits until every signed intent is final, or the deadline has passed; what is left is taken up at the next start. */
  async drain(deadlineMs: number): Promise<void> {
    const { clock } = this.#d;
    this.#draining = true;
    const until = clock.monotonic() + deadlineMs;
    while (this.lane.open.size > 0 && this.#isLeading && this.#state !== "KILLED" && clock.monotonic() < until)
      await clock.sleep(DRAIN_POLL_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#working;
    await this.#telling;
  }

  #kick(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      if ((this.#pendingHead || this.#pendingReport) && !this.#stopped && this.#isLeading) this.#kick();
    });
  }

  async #work(): Promise<void> {
    while (!this.#stopped && this.#isLeading && (this.#pendingHead || this.#pendingReport)) {
      const head = this.#pendingHead;
      const pending = this.#pendingReport;
      this.#pendingHead = undefined;
      this.#pendingReport = undefined;
      try {
        if (head) await this.lane.advance(head);
        // Nothing waits for it: a plan makes sure of it by itself.
        if (head) this.#telling ??= this.#keepRiskTold().finally(() => (this.#telling = undefined));
        if (pending) await inTrace(pending.report.traceparent, () => this.#consider(pending));
      } catch (error) {
        if (toFlashloanError(error).code === "fenced") this.#depose(error);
        // What failed is tried again with the next block: every step starts from the ledger's state.
        else if (!this.#stopped) this.#d.log.error({ error }, "executor_step_failed");
      }
    }
  }

  #keepRiskTold(): Promise<void> {
    const { risk, log } = this.#d;
    return inTrace(undefined, () => risk.keepTold(() => this.#history())).catch((error: unknown) =>
      log.warn({ error }, "risk_manager_not_told_yet"),
    );
  }

  #depose(error: unknown): void {
    this.#isLeading = false;
    this.#d.log.error({ error, open: this.lane.open.size }, "lead_lost");
  }

  async #consider(pending: ArrivedReport): Promise<void> {
    const { report } = pending;
    const taken = new Set([...this.lane.open].flatMap((intent) => intent.plan?.pools ?? []));
    /** What has been signed of this block, by opportunity. */
    const signed = new Map<string, { readonly data: Hex; readonly pools: readonly string[] }>();
    for (const { id, opportunity, after } of await this.#inOrder(report, taken)) {
      if (this.#stopped || this.#pendingReport) return;
      const before = after === undefined ? undefined : signed.get(after);
      // Its opportunity is used up; or what it comes after was refused, and the opportunity is tried as it was found.
      if (signed.has(id) || (after !== undefined && !before)) continue;
      const pools = poolsOf(opportunity);
      const rejection = this.#unavailable(
        pools.filter((pool) => !before?.pools.includes(pool)),
        taken,
      );
      if (rejection) {
        if (!before) this.#reject(opportunity, rejection);
        continue;
      }
      const intentId = intentIdOf(report.blockHash, opportunity);
      if (this.lane.intents.has(intentId)) continue;
      const calls = before ? [...signed.values()].map(({ data }) => data) : [];
      const data = await this.#pursueInSpan(intentId, pending, opportunity, calls);
      if (data === undefined) continue;
      signed.set(id, { data, pools });
      for (const pool of pools) taken.add(pool);
    }
  }

  /**
   * A block's trades in the order in which they are tried: what was chosen, then every opportunity as it was found, best
   * first, for when what was chosen is refused.
   */
  async #inOrder(report: BlockReport, taken: ReadonlySet<string>): Promise<readonly Choice[]> {
    const { selector, tracing, metrics, clock, settings } = this.#d;
    const { opportunities, blockHash } = report;
    const offered = opportunities.filter(
      (opportunity) =>
        !this.#unavailable(poolsOf(opportunity), taken) && !this.lane.intents.has(intentIdOf(blockHash, opportunity)),
    );
    const found = opportunities.map(asFound);
    if (offered.length === 0) return found;
    const ids = new Set(offered.map(({ id }) => id));
    const sequels = report.sequels.filter(({ first, second }) => ids.has(first) && ids.has(second));
    const room = { transactionsMax: settings.inFlightMax - this.lane.open.size, gasMax: this.#blockGasMax };
    const attributes = { "flashloan.block": Number(report.blockNumber), "flashloan.opportunities": offered.length };
    const { chosen } = await tracing.span("executor.select", attributes, async (annotate) => {
      const startedMs = clock.monotonic();
      const selection = await selector.select({ opportunities: offered, sequels }, room);
      metrics.selected(selection, (clock.monotonic() - startedMs) / 1_000);
      annotate({ "flashloan.selection": selection.outcome, "flashloan.chosen": selection.chosen.length });
      return selection;
    });
    const asChosen = new Set(chosen.map(({ opportunity }) => opportunity));
    return [...chosen, ...found.filter(({ opportunity }) => !asChosen.has(opportunity))];
  }

  /** Why nothing new may be taken now, or why not through these pools. */
  #unavailable(pools: readonly string[], taken: ReadonlySet<string>): Rejection | undefined {
    if (this.#state !== "ACTIVE") return { stage: "execution", reason: `execution_${this.#state.toLowerCase()}` };
    if (this.#draining) return { stage: "execution", reason: "stopping" };
    if (this.lane.isUnresolved) return { stage: "execution", reason: "ledger_unresolved" };
    if (this.lane.open.size >= this.#d.settings.inFlightMax) return { stage: "selection", reason: "in_flight_max" };
    return pools.some((pool) => taken.has(pool)) ? { stage: "selection", reason: "pool_in_flight" } : undefined;
  }

  /**
   * @param before calls that are on their way and go before it
   * @returns its call; undefined when it ended before it was signed
   */
  #pursueInSpan(
    intentId: Hex,
    pending: ArrivedReport,
    opportunity: Opportunity,
    before: readonly Hex[],
  ): Promise<Hex | undefined> {
    const attributes = { "flashloan.intent_id": intentId, "flashloan.block": Number(pending.report.blockNumber) };
    return this.#d.tracing.span("executor.opportunity", attributes, async (annotate) => {
      const data = await this.#pursue(intentId, pending, opportunity, before);
      if (typeof data === "string") return data;
      annotate({ "flashloan.refusal": data.reason });
      this.#reject(opportunity, data);
      return undefined;
    });
  }

  /** Carries one opportunity from DETECTED to SUBMITTED; returns its call, or why it ended before it was signed. */
  async #pursue(
    intentId: Hex,
    pending: ArrivedReport,
    opportunity: Opportunity,
    before: readonly Hex[],
  ): Promise<Hex | Rejection> {
    const { report, arrivedMs } = pending;
    const { settings, clock, metrics } = this.#d;
    const { bidPolicy, accounts } = settings;
    const nextBaseFeeWei = BigInt(report.nextBaseFeeWei);
    const hopedWei = BigInt(opportunity.grossWei) - BigInt(opportunity.premiumWei);
    const early = bid(hopedWei, opportunity.gasUnits, nextBaseFeeWei, bidPolicy);
    const earlyFacts = riskFacts(intentId, opportunity, early, BigInt(opportunity.netWei), 0);
    const refusedEarly = await this.#ask(earlyFacts, "before_build");
    if (refusedEarly) return refusedEarly;

    const lastBlock = Number(report.blockNumber) + bidPolicy.validBlocks;
    const terms = { intentId, weth: accounts.weth, lastBlock: BigInt(lastBlock), minProfitWei: 0n, coinbaseBps: 0 };
    const call = buildCall(opportunity, terms);
    const data = encodeExecute(call);
    const simulation = await this.#simulate(intentId, report, data, before);
    if (!simulation.ok) return { stage: "simulation", reason: `simulation:${simulation.reason}` };
    const { executed, gasUsed } = simulation;
    const { profitWei, premiumWei } = executed;
    const late = bid(profitWei, gasUsed, nextBaseFeeWei, bidPolicy);
    if (profitWei < late.minProfitWei) return { stage: "simulation", reason: "below_minimum_profit" };
    const gasWei = gasUsed * late.maxFeePerGasWei;
    const slippageBps = Number(((profitWei - late.minProfitWei) * 10_000n) / profitWei);
    const lateFacts = riskFacts(intentId, opportunity, late, profitWei - gasWei, slippageBps);
    const refusedLate = await this.#ask(lateFacts, "before_send");
    if (refusedLate) return refusedLate;
    // A pause or kill may have come while we asked: nothing is signed after it.
    if (this.#state !== "ACTIVE") return { stage: "execution", reason: `execution_${this.#state.toLowerCase()}` };

    const intent = newIntent(intentId);
    const prelude: IntentStep[] = [
      { state: "DETECTED", payload: planOf(report, opportunity) },
      { state: "SELECTED", payload: {} },
      { state: "APPROVED", payload: {} },
      { state: "BUILT", payload: { steps: call.steps.length + call.afterSteps.length } },
      { state: "SIMULATED", payload: { profitWei, premiumWei, gasUsed, minProfitWei: late.minProfitWei } },
    ];
    if (this.#mode === "PAPER") {
      const result = { grossWei: profitWei + premiumWei, premiumWei, gasWei, netWei: profitWei - gasWei };
      await this.lane.append(intent, [...prelude, { state: "PAPER", payload: result }]);
      return data;
    }
    await this.lane.execute(intent, prelude, {
      call: { ...call, minProfitWei: late.minProfitWei },
      terms: late,
      lastBlock,
      onWire: () => metrics.submitted((clock.monotonic() - arrivedMs) / 1_000),
    });
    return data;
  }

  /** Asks the risk manager; returns the first rule that the plan breaks. */
  async #ask(facts: PlanFacts, stage: Stage): Promise<Rejection | undefined> {
    const [refusal] = await this.#d.risk.check(facts, stage, () => this.#history());
    return refusal && { stage: "risk", reason: `risk:${refusal.rule}` };
  }

  #simulate(intentId: Hex, report: BlockReport, data: Hex, before: readonly Hex[]): Promise<Simulation> {
    const { settings, rpc, signer, tracing } = this.#d;
    const request = {
      from: signer.address,
      to: settings.accounts.contract,
      data,
      before,
      blockNumber: Number(report.blockNumber),
      timestampS: Number(report.timestampS) + settings.blockTimeS,
      baseFeeWei: BigInt(report.nextBaseFeeWei),
    };
    return tracing.span("executor.simulate", { "flashloan.intent_id": intentId }, async (annotate) => {
      const simulation = await simulate(rpc, request);
      if (simulation.ok) annotate({ "flashloan.gas_used": Number(simulation.gasUsed) });
      else annotate({ "flashloan.refusal": simulation.reason });
      return simulation;
    });
  }

  #reject(opportunity: Opportunity, { stage, reason }: Rejection): void {
    this.endedUnsigned.set(reason, (this.endedUnsigned.get(reason) ?? 0n) + 1n);
    this.#d.metrics.rejected(stage);
    this.#d.onRejected(opportunity, reason);
  }

  /** What the risk manager must know of the time before it was started. */
  #history(): RestoreOutcomesRequest {
    const control = { state: this.#state, reason: this.#reason, resumedAtMs: this.#resumedAtMs };
    return riskHistory(this.lane.intents.values(), control, this.#d.clock.now());
  }

  /** Tells the risk manager how an intent ended; repeating it is harmless. */
  async #recordOutcome(intent: Intent): Promise<void> {
    const gasWei = intent.outcome?.gasWei ?? 0n;
    await this.#d.risk.recordOutcome(intent.id, intent.state === "SETTLED", gasWei, intent.finalAtMs);
  }
}

/** A plan in the terms that the risk manager's limits are set in. */
function riskFacts(
  intentId: Hex,
  opportunity: Opportunity,
  terms: Bid,
  netProfitWei: bigint,
  slippageBps: number,
): PlanFacts {
  const hops = hopsOf(opportunity);
  const { loan } = opportunity;
  return {
    intentId,
    loanToken: loan?.token ?? "",
    loanAmount: loan?.amount ?? "0",
    loanValueWei: opportunity.loanValueWei,
    netProfitWei: netProfitWei.toString(),
    maxFeePerGasWei: terms.maxFeePerGasWei.toString(),
    gasLimit: terms.gasLimit,
    depthShareBps: Math.max(...hops.map((hop) => hop.depthShareBps)),
    slippageBps,
    tokens: [...new Set(hops.flatMap((hop) => [hop.tokenIn, hop.tokenOut]))],
    venues: [...new Set([...hops.map((hop) => hop.address), ...(loan?.source ? [loan.source] : [])])],
  };
}

function planOf(report: BlockReport, opportunity: Opportunity): PlanRecord {
  const traceparent = currentTraceparent();
  return {
    blockNumber: Number(report.blockNumber),
    route: hopsOf(opportunity)
      .map((hop) => `${hop.kind}:${hop.poolId.slice(0, 10)}`)
      .join(" > "),
    pools: poolsOf(opportunity),
    lender: opportunity.loan?.lender ?? "",
    loanToken: (opportunity.loan?.token ?? "0x") as Hex,
    loanAmount: BigInt(opportunity.loan?.amount ?? 0),
    predictedGrossWei: BigInt(opportunity.grossWei),
    predictedPremiumWei: BigInt(opportunity.premiumWei),
    predictedNetWei: BigInt(opportunity.netWei),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
