import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Interface } from "ethers";
import type { Hex } from "@flashloan/evm/hex";

/** A compiled contract: its interface, and its creation code (with holes where libraries are linked). */
export interface Artifact {
  readonly abi: Interface;
  readonly bytecode: Hex;
  readonly links: readonly { readonly library: string; readonly start: number; readonly length: number }[];
}

interface ArtifactFile {
  abi: readonly unknown[];
  bytecode?: string | { object: string };
  linkReferences?: Record<string, Record<string, { start: number; length: number }[]>>;
}

const resolve = createRequire(import.meta.url).resolve;

/** Reads `package/path.json` from the installed packages; the protocols ship several shapes of artifact. */
export function readArtifact(path: string): Artifact {
  const file = JSON.parse(readFileSync(resolve(path), "utf8")) as ArtifactFile;
  const code = typeof file.bytecode === "object" ? file.bytecode.object : (file.bytecode ?? "");
  const links = Object.values(file.linkReferences ?? {}).flatMap((libraries) =>
    Object.entries(libraries).flatMap(([library, places]) =>
      places.map(({ start, length }) => ({ library, start, length })),
    ),
  );
  return { abi: new Interface(file.abi as never), bytecode: `0x${code.replace(/^0x/, "")}`, links };
}

/** Reads a Balancer deployment task: interface and creation code stand in two files. */
export function readBalancerArtifact(task: string, name: string): Artifact {
  const folder = `@balancer-labs/v2-deployments/dist/tasks/${task}`;
  const abi = JSON.parse(readFileSync(resolve(`${folder}/abi/${name}.json`), "utf8")) as readonly unknown[];
  const { creationCode } = JSON.parse(readFileSync(resolve(`${folder}/bytecode/${name}.json`), "utf8")) as {
    creationCode: string;
  };
  return { abi: new Interface(abi as never), bytecode: `0x${creationCode.replace(/^0x/, "")}`, links: [] };
}

/** The artifact with the addresses of its libraries filled in. */
export function link(artifact: Artifact, libraries: Readonly<Record<string, Hex>>): Artifact {
  let code: string = artifact.bytecode;
  for (const { library, start, length } of artifact.links) {
    const address = libraries[library];
    if (!address) throw new Error(`library ${library} has not been deployed`);
    const place = 2 + start * 2;
    code = code.slice(0, place) + address.slice(2) + code.slice(place + length * 2);
  }
  return { ...artifact, bytecode: code as Hex, links: [] };
}
