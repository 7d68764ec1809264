import { readdirSync, readFileSync } from "node:fs";

const PAGE_BYTES = 4096;

/** Resident memory of a process and all that it started, in bytes; what ends meanwhile counts nothing. */
export function residentBytes(pid: number): number {
  let bytes = 0;
  const pids = [pid];
  for (let next = pids.pop(); next !== undefined; next = pids.pop()) {
    try {
      const [, resident] = readFileSync(`/proc/${next}/statm`, "utf8").split(" ");
      bytes += Number(resident) * PAGE_BYTES;
      for (const thread of readdirSync(`/proc/${next}/task`)) {
        const children = readFileSync(`/proc/${next}/task/${thread}/children`, "utf8").trim();
        if (children !== "") pids.push(...children.split(" ").map(Number));
      }
    } catch {
      // It ended while we looked.
    }
  }
  return bytes;
}
