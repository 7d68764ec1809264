// Runs in a container on the stack's network: asks the market predictor again and again, as another service would, and
// prints what came of it when it is told to stop. No import of ours but what the image has.
import { MarketPredictorServiceService as Predictor } from "@flashloan/proto/predictor/v1/predictor";
import { RpcClient } from "@flashloan/shared/rpc-client";

const client = new RpcClient("market-predictor:7002", "/run/tls");
const seen = { requests: 0, failed: 0, errors: [] };
const stopping = new AbortController();
process.on("SIGTERM", () => stopping.abort());
process.stdout.write("started\n");
while (!stopping.signal.aborted) {
  seen.requests += 1;
  try {
    await client.unary(Predictor.getStatus, {}, { deadlineMs: 5_000, retries: 3 });
  } catch (error) {
    seen.failed += 1;
    if (seen.errors.length < 10) seen.errors.push(String(error.message));
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
}
await client.stop();
process.stdout.write(`${JSON.stringify(seen)}\n`);
