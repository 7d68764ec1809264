import { getChainId, getHead } from "@flashloan/evm/chain";
import { connect } from "@flashloan/evm/json-rpc";
import { withDeadline } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { fail, ok, type Check } from "./check.ts";

const DEADLINE_MS = 10_000;
/** A head older than this is a node that has stopped following; one in the future is a clock that is behind. */
const HEAD_AGE_S_MAX = 60;
const AHEAD_S_MAX = 5;

/** Whether the chain answers, is the one that is configured, and agrees with this machine's clock. */
export async function checkChain(url: string | undefined): Promise<Check[]> {
  if (url === undefined) return [ok("chain", "no chain is configured (CHAIN_URL), and no platform is running here")];
  try {
    return await withDeadline(
      lookAt(url),
      DEADLINE_MS,
      () => new FlashloanError("chain_unreachable", "the node did not answer in time"),
    );
  } catch (error) {
    return [fail("chain", (error as Error).message)];
  }
}

async function lookAt(url: string): Promise<Check[]> {
  const rpc = await connect(url);
  try {
    const [id, head] = await Promise.all([getChainId(rpc), getHead(rpc)]);
    const checks = [ok("chain", `${rpc.url} is chain ${id}, at block ${head.number}`)];
    const wanted = process.env["EXECUTOR_CHAIN_ID"] ?? process.env["CHAIN_ID"];
    if (wanted && Number(wanted) !== id)
      checks.push(fail("chain id", `${rpc.url} is chain ${id}, but ${wanted} is configured: correct one of them`));
    const ageS = Math.round(Date.now() / 1000 - head.timestamp);
    if (ageS > HEAD_AGE_S_MAX)
      checks.push(
        fail("head", `the newest block is ${ageS} s old: the node does not follow its chain, or this clock is ahead`),
      );
    else if (ageS < -AHEAD_S_MAX)
      checks.push(fail("head", `the newest block is ${-ageS} s in the future: set this machine's clock`));
    else checks.push(ok("head", `${Math.max(0, ageS)} s old by this machine's clock`));
    return checks;
  } finally {
    await rpc.stop();
  }
}
