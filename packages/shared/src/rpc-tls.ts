import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";
import { FlashloanError } from "./errors.ts";

/** What a folder of certificates holds. Both sides show theirs, and take only what the same authority has signed. */
interface TlsFiles {
  /** The authority that signs everybody's certificates. */
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** How a gRPC server proves itself and whom it answers; plain text without a folder. @throws FlashloanError config_invalid */
export function serverCredentials(tlsFolder: string | undefined): ServerCredentials {
  if (tlsFolder === undefined) return ServerCredentials.createInsecure();
  const { ca, cert, key } = readTlsFiles(tlsFolder);
  return ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], true);
}

/** How a gRPC client proves itself and whom it believes; plain text without a folder. @throws FlashloanError config_invalid */
export function clientCredentials(tlsFolder: string | undefined): ChannelCredentials {
  if (tlsFolder === undefined) return ChannelCredentials.createInsecure();
  const { ca, cert, key } = readTlsFiles(tlsFolder);
  return ChannelCredentials.createSsl(ca, key, cert);
}

/** Reads and checks a folder: what would fail later, in a handshake, is said now. */
function readTlsFiles(folder: string): TlsFiles {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(folder, name));
    } catch (cause) {
      throw faulty(folder, `${name} can't be read (${(cause as Error).message})`, cause);
    }
  };
  const files = { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
  const [ca, cert, key] = parse(folder, files);
  if (!cert.checkPrivateKey(key)) throw faulty(folder, "key.pem is not the key of cert.pem");
  if (!cert.verify(ca.publicKey)) throw faulty(folder, "cert.pem was not signed by ca.pem");
  if (Date.parse(cert.validTo) <= Date.now()) throw faulty(folder, `cert.pem has been invalid since ${cert.validTo}`);
  return files;
}

function parse(folder: string, { ca, cert, key }: TlsFiles) {
  try {
    return [new X509Certificate(ca), new X509Certificate(cert), createPrivateKey(key)] as const;
  } catch (cause) {
    throw faulty(folder, `its files are not certificates and a key in PEM (${(cause as Error).message})`, cause);
  }
}

function faulty(folder: string, what: string, cause?: unknown): FlashloanError {
  return new FlashloanError(
    "config_invalid",
    `GRPC_TLS_FOLDER is "${folder}", but ${what}: make the certificates anew with "flashloan certificates"`,
    { cause },
  );
}
