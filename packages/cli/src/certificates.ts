// @peculiar/x509 needs it, before anything of its own.
import "reflect-metadata";
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { makeFolder } from "@flashloan/embedded/data-folder";
import { FlashloanError } from "@flashloan/shared/errors";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3_600_000;
const VALID_MS = 397 * DAY_MS;
/** Certificates that are valid for less are made anew. */
const RENEW_MS = 30 * DAY_MS;
/** Every certificate serves on its own machine too: health checks ask there. */
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];
const NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

/** What became of a request for certificates. */
export interface Certificates {
  /** False when those that were there are good for another month. */
  readonly made: boolean;
  readonly folders: readonly string[];
  readonly validUntil: string;
}

/**
 * Makes an authority and a certificate for each host in a folder of its own (ca.pem, cert.pem, key.pem), what
 * GRPC_TLS_FOLDER wants. The authority's key is never written: nobody can add a host later, and all are made anew
 * together. Nothing is done while those that are there fit the hosts and are valid for another month.
 * @throws FlashloanError argument_invalid, data_folder_unusable
 */
export async function makeCertificates(out: string, hosts: readonly string[]): Promise<Certificates> {
  for (const host of hosts)
    if (isIP(host) === 0 && !NAME.test(host))
      throw new FlashloanError("argument_invalid", `host "${host}": must be a host name or an IP address`);
  if (hosts.length === 0) throw new FlashloanError("argument_invalid", "hosts: name at least one");
  const folders = hosts.map((host) => join(out, host.replaceAll(":", "-")));
  const known = validUntil(folders, hosts);
  if (known !== undefined) return { made: false, folders, validUntil: known };

  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Date.now() + VALID_MS);
  const authorityKeys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: newSerial(),
      name: "CN=Flashloan authority",
      notBefore,
      notAfter,
      keys: authorityKeys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(authorityKeys.publicKey),
      ],
    },
    webcrypto,
  );
  for (const [index, host] of hosts.entries()) {
    const keys = await newKeys();
    const names = [...new Set([host, ...LOOPBACK])];
    const certificate = await x509.X509CertificateGenerator.create(
      {
        serialNumber: newSerial(),
        subject: [{ CN: [host] }],
        issuer: authority.subject,
        notBefore,
        notAfter,
        publicKey: keys.publicKey,
        signingKey: authorityKeys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          new x509.SubjectAlternativeNameExtension(
            names.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
          ),
          await x509.AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey),
        ],
      },
      webcrypto,
    );
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" });
    write(folders[index] as string, authority.toString("pem"), certificate.toString("pem"), key.toString());
  }
  return { made: true, folders, validUntil: notAfter.toISOString() };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

/** Positive, and not zero in its first byte. */
function newSerial(): string {
  return `01${randomBytes(15).toString("hex")}`;
}

function write(folder: string, ca: string, cert: string, key: string): void {
  try {
    makeFolder(folder);
    for (const [name, text, mode] of [
      ["ca.pem", ca, 0o644],
      ["cert.pem", cert, 0o644],
      ["key.pem", key, 0o600],
    ] as const) {
      const path = join(folder, name);
      // A file that is there keeps its mode: the key must not be readable for a moment.
      rmSync(path, { force: true });
      writeFileSync(path, `${text.trimEnd()}\n`, { mode });
      chmodSync(path, mode);
    }
  } catch (cause) {
    throw new FlashloanError(
      "data_folder_unusable",
      `certificates can't be written to ${folder} (${(cause as Error).message}): choose a folder that you may write to`,
      { cause },
    );
  }
}

/** Until when the certificates in the folders are valid; undefined unless all fit, belong together and last for a while. */
function validUntil(folders: readonly string[], hosts: readonly string[]): string | undefined {
  let until = Number.POSITIVE_INFINITY;
  let first: string | undefined;
  for (const [index, folder] of folders.entries()) {
    const [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    if (![ca, cert, key].every((path) => existsSync(path))) return undefined;
    const host = hosts[index] as string;
    try {
      const authorityText = readFileSync(ca, "utf8");
      const certificate = new X509Certificate(readFileSync(cert));
      const fits = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
      const isSigned = certificate.verify(new X509Certificate(authorityText).publicKey);
      if (fits === undefined || !isSigned || !certificate.checkPrivateKey(createPrivateKey(readFileSync(key))))
        return undefined;
      first ??= authorityText;
      if (authorityText !== first) return undefined;
      until = Math.min(until, Date.parse(certificate.validTo));
    } catch {
      // Not certificates, or not ours to read: made anew, which says so if it can't be done.
      return undefined;
    }
  }
  return until - Date.now() > RENEW_MS ? new Date(until).toISOString() : undefined;
}
