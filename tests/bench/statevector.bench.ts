/** The benchmark of the statevector simulator: `node statevector.bench.ts --help`. */
import { parseArgs } from "node:util";
import QuantumCircuit from "quantum-circuit";
import { QaoaSimulator, type QaoaOptions } from "@flashloan/statevector/qaoa";
import { createRandom } from "@flashloan/shared/random";
import { median } from "../support/median.ts";
import { measuredBy, writeSection } from "./document.ts";
import { createPlainQaoa } from "./plain-qaoa.ts";

const USAGE = `Measures one QAOA energy of a random 3-regular graph's cut, beside plain JavaScript, the npm package quantum-circuit
and the memory's bandwidth, in one run.

  npm run bench -- statevector            the whole table
  npm run bench -- statevector --write    and write it into docs/benchmarks.md

  --sizes Q:P[,…]  qubits and layers of each row (default 16:1,16:3,20:1,20:3,22:3,24:1)
  --seconds N      longest measurement of one figure (default 2)
  --peer Q         qubits of quantum-circuit's run, p = 1 (default 16; 0 leaves it out)
  --json           print the figures as JSON
  --write          write the table into docs/benchmarks.md
  --help           this text
`;
const [GAMMAS, BETAS] = [
  [0.3, 0.5, 0.6, 0.7],
  [0.5, 0.3, 0.2, 0.1],
] as const;
const QUBITS_MAX = 26;
const BANDWIDTH_BYTES = 2 ** 27;

/** One size: milliseconds of one energy, or of one gradient. */
interface Row {
  readonly qubits: number;
  readonly layers: number;
  readonly oneMs: number;
  readonly twoMs: number;
  readonly f32Ms: number;
  readonly gradientMs: number;
  readonly plainMs: number;
  /** Reading and writing the state once a pass, at the bandwidth measured. */
  readonly floorMs: number;
  /** The greatest relative distance between the energies of all. */
  readonly distance: number;
}

interface Peer {
  readonly qubits: number;
  readonly peerMs: number;
  readonly oneMs: number;
  readonly distance: number;
}

interface Report {
  readonly bytesPerSecond: number;
  readonly rows: readonly Row[];
  readonly peer: Peer | undefined;
}

/** The median of repeated runs, after some that don't count. */
function timeMs(seconds: number, action: () => unknown): number {
  const run = (): number => {
    const start = performance.now();
    action();
    return performance.now() - start;
  };
  const until = performance.now() + seconds * 1_000;
  for (let k = 0; k < 5 && performance.now() < until - seconds * 700; k++) run();
  const times = [run(), run(), run()];
  while (performance.now() < until) times.push(run());
  return median(times);
}

/** Bytes that one thread reads and writes in a second, copying what no cache holds. */
function measureBandwidth(seconds: number): number {
  const [from, to] = [new Float64Array(BANDWIDTH_BYTES / 8).fill(1), new Float64Array(BANDWIDTH_BYTES / 8)];
  return (2 * BANDWIDTH_BYTES) / (timeMs(seconds, () => to.set(from)) / 1_000);
}

/** A random 3-regular graph by the pairing model. */
function randomGraph(vertices: number, seed: number): [number, number][] {
  const random = createRandom(seed);
  for (;;) {
    const stubs = Array.from({ length: 3 * vertices }, (_, k) => [random.next(), k % vertices] as const)
      .toSorted(([a], [b]) => a - b)
      .map(([, vertex]) => vertex);
    const edges = Array.from({ length: stubs.length / 2 }, (_, k): [number, number] => {
      const [a, b] = [stubs[2 * k]!, stubs[2 * k + 1]!];
      return a < b ? [a, b] : [b, a];
    });
    const names = new Set(edges.map(String));
    if (names.size === edges.length && edges.every(([a, b]) => a !== b)) return edges;
  }
}

function cutCost(qubits: number, edges: readonly (readonly [number, number])[]): QaoaOptions["cost"] {
  return {
    linear: Array.from({ length: qubits }, () => 3),
    quadratic: edges.map(([i, j]) => [i, j, -2] as const),
  };
}

function cutOf(edges: readonly (readonly [number, number])[], x: number): number {
  return edges.reduce((cut, [i, j]) => cut + (((x >> i) ^ (x >> j)) & 1), 0);
}

async function measureRow(qubits: number, layers: number, seconds: number, bytesPerSecond: number): Promise<Row> {
  const edges = randomGraph(qubits, qubits);
  const cost = cutCost(qubits, edges);
  const angles = [GAMMAS.slice(0, layers), BETAS.slice(0, layers)] as const;
  const time = async (options: Partial<QaoaOptions>) => {
    await using simulator = await QaoaSimulator.create({ qubits, cost, layersMax: layers, ...options });
    const ms = timeMs(seconds, () => simulator.energy(...angles));
    const energy = simulator.energy(...angles);
    const gradientMs = options.gradients === false ? Number.NaN : timeMs(seconds, () => simulator.gradient(...angles));
    return { ms, energy, gradientMs };
  };
  const one = await time({});
  const two = await time({ threads: 2, gradients: false });
  const f32 = await time({ precision: "f32", gradients: false });
  const costs = Uint8Array.from({ length: 2 ** qubits }, (_, x) => cutOf(edges, x));
  const plain = createPlainQaoa(qubits, costs);
  const plainMs = timeMs(seconds, () => plain(...angles));
  const others = [two.energy, f32.energy, plain(...angles)];
  return {
    qubits,
    layers,
    oneMs: one.ms,
    twoMs: two.ms,
    f32Ms: f32.ms,
    gradientMs: one.gradientMs,
    plainMs,
    floorMs: ((layers + 1) * 2 * 2 ** qubits * 16 * 1_000) / bytesPerSecond,
    distance: Math.max(...others.map((energy) => Math.abs(energy / one.energy - 1))),
  };
}

/** quantum-circuit's run of the circuit, its compilation left out, and the energy of the state that it leaves. */
async function measurePeer(qubits: number, seconds: number): Promise<Peer> {
  const edges = randomGraph(qubits, qubits);
  const [gamma, beta] = [GAMMAS[0], BETAS[0]];
  const circuit = new QuantumCircuit(qubits);
  for (let qubit = 0; qubit < qubits; qubit++) circuit.appendGate("h", [qubit]);
  for (const edge of edges) circuit.appendGate("zz", edge, { params: { theta: -gamma } });
  for (let qubit = 0; qubit < qubits; qubit++) circuit.appendGate("rx", [qubit], { params: { theta: 2 * beta } });
  const start = performance.now();
  circuit.run();
  const peerMs = performance.now() - start;
  const energy = Object.entries(circuit.state).reduce(
    (sum, [x, { re, im }]) => sum + cutOf(edges, Number(x)) * (re * re + im * im),
    0,
  );
  const simulator = await QaoaSimulator.create({ qubits, cost: cutCost(qubits, edges), layersMax: 1 });
  const oneMs = timeMs(seconds, () => simulator.energy([gamma], [beta]));
  return { qubits, peerMs, oneMs, distance: Math.abs(energy / simulator.energy([gamma], [beta]) - 1) };
}

function render({ bytesPerSecond, rows, peer }: Report): string {
  const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 1);
  const table = rows.map(
    ({ qubits, layers, oneMs, twoMs, f32Ms, gradientMs, plainMs, floorMs }) =>
      `| ${qubits}, p = ${layers} | ${ms(oneMs)} | ${ms(twoMs)} | ${ms(f32Ms)} | ${(gradientMs / oneMs).toFixed(1)} | ${ms(plainMs)} | ${(plainMs / oneMs).toFixed(1)} × | ${qubits < 20 ? "in the cache" : `${(oneMs / floorMs).toFixed(1)} ×`} |`,
  );
  const lines = [
    "| qubits, layers | energy, f64, 1 thread, ms | 2 threads | f32, 1 thread | gradient ÷ energy | plain JavaScript, ms | ÷ ours | ours ÷ bandwidth floor |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...table,
    "",
    `Bandwidth of one thread, reading and writing: ${(bytesPerSecond / 1e9).toFixed(1)} GB/s.`,
  ];
  if (peer) {
    const { qubits, peerMs, oneMs } = peer;
    const ratio = Math.round(peerMs / oneMs).toLocaleString("en");
    lines.push(
      `quantum-circuit 0.9, ${qubits} qubits, p = 1: ${(peerMs / 1_000).toFixed(1)} s, ${ratio} × our ${ms(oneMs)} ms.`,
    );
  }
  return lines.join("\n");
}

function writeDocument(text: string): void {
  writeSection(
    "statevector",
    `## Statevector simulator

${measuredBy("npm run bench -- statevector --write")}, with other work on the machine.

One energy ⟨C⟩ of QAOA: p layers of phases and mixers, and the mean of the cut of a random 3-regular graph. Plain JavaScript
is the same algorithm (frame, tangents, phase table, cache blocks), without SIMD and without the fusion of layers. The floor
is p + 1 passes that read and write the state once each, at the bandwidth of a copy measured in the same run. Two threads
fall back to one while that is faster. The energies of all agree to rounding.

${text}`,
  );
}

function readFlags() {
  const { values } = parseArgs({
    args: process.argv.slice(2).filter((argument) => argument !== "--"),
    options: {
      sizes: { type: "string", default: "16:1,16:3,20:1,20:3,22:3,24:1" },
      seconds: { type: "string", default: "2" },
      peer: { type: "string", default: "16" },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const sizes = values.sizes.split(",").map((size) => size.split(":").map(Number));
  for (const [qubits, layers] of sizes) {
    if (!isBetween(qubits, 4, QUBITS_MAX) || qubits % 2 === 1 || !isBetween(layers, 1, GAMMAS.length)) {
      throw new TypeError(`--sizes: even qubits from 4 to ${QUBITS_MAX}, and 1 to ${GAMMAS.length} layers each`);
    }
  }
  const [seconds, peer] = [Number(values.seconds), Number(values.peer)];
  if (!(seconds > 0 && seconds <= 60)) throw new TypeError("--seconds must be a number up to 60");
  if (!isBetween(peer, 0, 18) || peer % 2 === 1) throw new TypeError("--peer must be an even number from 0 to 18");
  return { ...values, sizes: sizes as [number, number][], seconds, peer };
}

function isBetween(value: number | undefined, min: number, max: number): value is number {
  return Number.isInteger(value) && value! >= min && value! <= max;
}

async function main(): Promise<number> {
  let flags: ReturnType<typeof readFlags>;
  try {
    flags = readFlags();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (flags.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { sizes, seconds, peer } = flags;
  const bytesPerSecond = measureBandwidth(seconds);
  const rows: Row[] = [];
  for (const [qubits, layers] of sizes) rows.push(await measureRow(qubits, layers, seconds, bytesPerSecond));
  const report: Report = { bytesPerSecond, rows, peer: peer === 0 ? undefined : await measurePeer(peer, seconds) };
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
  if (flags.write) writeDocument(render(report));
  return 0;
}

process.exitCode = await main();
