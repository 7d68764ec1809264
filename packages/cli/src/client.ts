import { readConfig } from "@flashloan/shared/config";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { platformConfigSchema } from "@flashloan/shared/run-service";

/** A client for the command line, with the certificates that GRPC_TLS_FOLDER names. @throws FlashloanError config_invalid */
export function openClient(address: string): RpcClient {
  const { GRPC_TLS_FOLDER } = platformConfigSchema;
  return new RpcClient(address, readConfig({ GRPC_TLS_FOLDER }, process.env).GRPC_TLS_FOLDER);
}
