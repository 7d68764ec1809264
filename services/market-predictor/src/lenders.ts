import type { Lenders } from "@flashloan/arbitrage/lender";
import type { Address } from "@flashloan/amm/pool";
import type { Header, Log } from "@flashloan/evm/chain";
import { REORG_DEPTH_MAX } from "@flashloan/evm/follower";
import type { Hex } from "@flashloan/evm/hex";
import type { PoolBook } from "./pool-book.ts";
import { mapLimited, PoolFault, type PoolReader } from "./pool-reader.ts";
import type { Venues } from "./venues.ts";

/** A balance that limits a loan. */
interface Balance {
  readonly token: Address;
  readonly holder: Address;
  /** Where the lender's balances are kept, by token. */
  readonly into: Map<Address, bigint>;
}

/**
 * What every lender can lend. A balance is read when its lender is new and after a block in which its token's logs
 * name its holder, so that a block costs only what it moved.
 */
export class LenderBook {
  readonly #venues: Venues;
  readonly #balances = new Map<string, Balance>();
  /** Balances to be read. */
  readonly #due = new Set<string>();
  /** Balances that each of the newest blocks moved: to be read again when the block is undone. */
  readonly #moved: { readonly number: number; readonly keys: readonly string[] }[] = [];
  #aave: { premiumBps: number; reserves: readonly { token: Hex; aToken: Hex }[] } | undefined;
  #aaveDue = true;
  #turn = 0;
  /** The version of the pool book that the lenders were made from. */
  #version = -1;

  constructor(venues: Venues) {
    this.#venues = venues;
  }

  /** Takes the logs of the next block. */
  apply(header: Header, logs: readonly Log[]): void {
    const keys = logs.flatMap((log) => this.#movedBy(log));
    for (const key of keys) this.#due.add(key);
    this.#moved.push({ number: header.number, keys });
    if (this.#moved.length > REORG_DEPTH_MAX) this.#moved.shift();
  }

  /** Goes back to the end of a block. */
  unwind(to: Header): void {
    while ((this.#moved.at(-1)?.number ?? 0) > to.number)
      for (const key of this.#moved.pop()?.keys ?? []) this.#due.add(key);
  }

  /**
   * Has Aave's settings and the next `count` balances read again, in turn: some tokens' balances change without a log
   * that names the holder.
   */
  expire(count: number): void {
    this.#aaveDue = true;
    const keys = [...this.#balances.keys()];
    for (let i = 0; i < Math.min(count, keys.length); i++) this.#due.add(keys[(this.#turn + i) % keys.length] ?? "");
    this.#turn = keys.length > 0 ? (this.#turn + count) % keys.length : 0;
  }

  /** Forgets every balance. */
  clear(): void {
    this.#balances.clear();
    this.#due.clear();
    this.#moved.length = 0;
    this.#aaveDue = true;
    this.#version = -1;
  }

  /**
   * Reads what is due. Returns the lenders when there are new or other ones; the maps of balances in them are live.
   * What can't be read now stays due.
   */
  async refresh(reader: PoolReader, book: PoolBook): Promise<Lenders | undefined> {
    const isAaveNew = this.#aaveDue && (await this.#readAave(reader));
    const isNew = isAaveNew || this.#version !== book.version;
    const lenders = isNew ? this.#make(book) : undefined;
    this.#version = book.version;
    await mapLimited([...this.#due], (key) => this.#read(reader, key));
    return lenders;
  }

  #movedBy({ address, topics }: Log): string[] {
    return topics
      .slice(1)
      .map((topic) => `${address} 0x${topic.slice(-40)}`)
      .filter((key) => this.#balances.has(key));
  }

  async #read(reader: PoolReader, key: string): Promise<void> {
    const balance = this.#balances.get(key);
    if (!balance) return;
    const { token, holder, into } = balance;
    try {
      into.set(token, await reader.balanceOf(token, holder));
      this.#due.delete(key);
    } catch (error) {
      // What can't say its balance can't be borrowed.
      into.delete(token);
      if (error instanceof PoolFault) this.#due.delete(key);
    }
  }

  async #readAave(reader: PoolReader): Promise<boolean> {
    const { aaveV3 } = this.#venues;
    if (!aaveV3) this.#aaveDue = false;
    if (!aaveV3) return false;
    const before = JSON.stringify(this.#aave);
    try {
      this.#aave = await reader.aaveReserves(aaveV3.pool);
      this.#aaveDue = false;
    } catch {
      // Whether it lends is not known, so that nothing is borrowed there until it is; it stays due.
      this.#aave = undefined;
    }
    return JSON.stringify(this.#aave) !== before;
  }

  /** Lists the lenders that the pools and venues make, keeping balances that are known already. */
  #make(book: PoolBook): Lenders {
    const { weth, balancerV2, uniswapV4, aaveV3 } = this.#venues;
    const known = new Map(this.#balances);
    this.#balances.clear();
    const into = (
      holder: Address,
      tokens: Iterable<Address>,
      balances = new Map<Address, bigint>(),
    ): Map<Address, bigint> => {
      for (const token of tokens) {
        if (BigInt(token) === 0n) continue;
        const key = `${token} ${holder}`;
        const before = known.get(key);
        const value = before?.into.get(token);
        if (value !== undefined) balances.set(token, value);
        if (!before) this.#due.add(key);
        this.#balances.set(key, { token, holder, into: balances });
      }
      return balances;
    };
    const pools = book.ids().flatMap((id) => book.pool(id) ?? []);
    const tokens = new Set<Address>([weth, ...pools.flatMap((pool) => pool.tokens)]);
    const liquidity = new Map<Address, bigint>();
    for (const { token, aToken } of this.#aave?.reserves ?? []) into(aToken, [token], liquidity);
    const lenders: Lenders = {
      firstSwap: true,
      uniswapV2: { poolIds: pools.filter(({ kind }) => kind === "uniswap-v2").map(({ id }) => id) },
      uniswapV3: {
        pools: pools
          .filter(({ kind }) => kind === "uniswap-v3")
          .map(({ id, address, tokens }) => ({ poolId: id, balances: into(address, tokens) })),
      },
      ...(balancerV2 ? { balancerV2: { vault: balancerV2.vault, balances: into(balancerV2.vault, tokens) } } : {}),
      ...(uniswapV4
        ? { uniswapV4: { poolManager: uniswapV4.poolManager, balances: into(uniswapV4.poolManager, tokens) } }
        : {}),
      ...(aaveV3 && this.#aave ? { aaveV3: { pool: aaveV3.pool, premiumBps: this.#aave.premiumBps, liquidity } } : {}),
    };
    for (const key of this.#due) if (!this.#balances.has(key)) this.#due.delete(key);
    return lenders;
  }
}
