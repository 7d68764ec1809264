import fc from "fast-check";
import { expect, test } from "vitest";
import { openCache, openDatabase } from "@flashloan/shared/adapters/open";
import { NewestPositions } from "../src/newest-positions.ts";
import { latestContract } from "./contract/latest.ts";

latestContract(
  "pglite: and memory:",
  () => openDatabase("pglite:"),
  () => openCache("memory:"),
);

test("however streams are forgotten and reads overtaken by commits, no outdated place is ever known", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("commit" as const), stream: fc.nat(5) }),
    fc.record({ kind: fc.constant("begin" as const), stream: fc.nat(5) }),
    fc.record({ kind: fc.constant("end" as const), stream: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const positions = new NewestPositions(0n, 2);
      const truth = new Map<string, bigint>();
      const reads: { stream: string; head: bigint; position: bigint | undefined }[] = [];
      for (const { kind, stream: number } of steps) {
        const stream = String(number);
        if (kind === "commit") {
          const position = positions.head + 1n;
          truth.set(stream, position);
          positions.take(stream, position);
          positions.advance(position);
        } else if (kind === "begin") reads.push({ stream, head: positions.head, position: truth.get(stream) });
        else {
          const [read] = reads.splice(number % Math.max(1, reads.length), 1);
          if (read?.position !== undefined) positions.learn(read.stream, read.position, read.head);
        }
        for (const [known, position] of truth) expect([undefined, position]).toContain(positions.of(known));
      }
    }),
  );
});
