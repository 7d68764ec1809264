import type { Quadratic } from "@flashloan/qubo/quadratic";
import type { Stated } from "@flashloan/qubo/problem";
import { FlashloanError } from "@flashloan/shared/errors";
import { createRandom } from "@flashloan/shared/random";
import { qaoaCircuit } from "@flashloan/statevector/circuit";
import type { QuadraticCost } from "@flashloan/statevector/cost";
import { memoryBytes, QaoaSimulator } from "@flashloan/statevector/qaoa";
import { toQasm2, toQasm3 } from "@flashloan/statevector/qasm";
import { fixedAngles, FIXED_LAYERS_MAX, type Angles } from "@flashloan/variational/fixed-angles";
import { isingChain } from "@flashloan/variational/hamiltonians";
import { computeLandscape, gammaPeriod, sampleObjectives } from "@flashloan/variational/landscape";
import { createMolecule } from "@flashloan/variational/molecule";
import { groundEnergy, type PauliSum } from "@flashloan/variational/pauli";
import { optimizeQaoa, rampAngles } from "@flashloan/variational/qaoa";
import {
  coupledCluster,
  hamiltonianVariational,
  hardwareEfficient,
  runVqe,
  type Ansatz,
} from "@flashloan/variational/vqe";
import type { Answers, Opinion } from "./answers.ts";
import { QUBITS_MAX, type QuestionOf } from "./questions.ts";

const EVALUATIONS_MAX = 500;
const EXACT_QUBITS_MAX = 12;
/** A sampled objective this near to the optimum is one. */
const OPTIMUM_TOLERANCE = 1e-9;
const RESTARTS_MAX = 10;
/** A circuit's state, and a copy of it while a string is measured. */
const STATE_BYTES = 2 * 16;
const MIB = 1024 * 1024;

/** What bounds the work on one question. */
export interface Bounds {
  readonly msLeft: () => number;
  readonly cancelled: () => boolean;
  readonly memoryBytes: number;
  readonly seed: number;
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}

/** @throws FlashloanError argument_invalid, saying what it takes and what there is */
function requireMemory(qubits: number, bytes: number, memoryBytesMax: number): void {
  if (qubits >= 1 && qubits <= QUBITS_MAX && bytes <= memoryBytesMax) return;
  throw invalid(
    `${qubits} qubits, one for each binary variable, take ${Math.ceil(bytes / MIB)} MiB to simulate: at most ` +
      `${Math.floor(memoryBytesMax / MIB)} MiB and ${QUBITS_MAX} qubits are taken here (QUANTUM_MEMORY_MIB)`,
  );
}

function costOf(problem: Quadratic): QuadraticCost {
  return { linear: problem.linear, quadratic: [...problem.pairs()], constant: problem.offset };
}

async function openSimulator(
  problem: Quadratic,
  how: { readonly gradients: boolean; readonly layersMax: number },
  bounds: Bounds,
): Promise<QaoaSimulator> {
  const { size: qubits } = problem;
  requireMemory(qubits, simulationBytes(qubits, how.layersMax, how.gradients), bounds.memoryBytes);
  return QaoaSimulator.create({ qubits, cost: costOf(problem), ...how });
}

/** Starts of the search for angles that are good in the mean: fixed ones for cuts, scaled, and a ramp. */
function startsOf({ quadratic = [], linear = [] }: QuadraticCost, layers: number): Angles[] {
  const sizes = quadratic.map(([, , weight]) => Math.abs(weight) / 2);
  if (sizes.length === 0) sizes.push(...Array.from(linear, (weight) => Math.abs(weight)));
  const scale = sizes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizes.length) || 1;
  const starts = [rampAngles(layers, 0.75, scale)];
  if (layers <= FIXED_LAYERS_MAX) {
    const { gammas, betas } = fixedAngles(layers);
    // They maximize; a minimum has its phases the other way round.
    starts.push({ gammas: gammas.map((gamma) => -gamma / scale), betas });
  }
  return starts;
}

/** What QAOA makes of a problem, with the time that is left. */
export async function opinionOn(
  stated: Stated,
  { layers, shots }: { readonly layers: number; readonly shots: number },
  bounds: Bounds,
): Promise<Opinion> {
  if (bounds.msLeft() <= 0 || bounds.cancelled()) return { refused: "the deadline left no time for it" };
  let simulator: QaoaSimulator;
  try {
    simulator = await openSimulator(stated.problem, { gradients: true, layersMax: layers }, bounds);
  } catch (error) {
    if (error instanceof FlashloanError && error.code === "argument_invalid") return { refused: error.message };
    throw error;
  }
  try {
    const cost = costOf(stated.problem);
    const energyMs = { last: 0 };
    const timed = <T>(evaluate: () => T): T => {
      const before = bounds.msLeft();
      const result = evaluate();
      energyMs.last = before - bounds.msLeft();
      return result;
    };
    const starts = startsOf(cost, layers)
      .map((angles) => ({ angles, energy: timed(() => simulator.energy(angles.gammas, angles.betas)) }))
      .toSorted((a, b) => a.energy - b.energy);
    const start = (starts[0] as (typeof starts)[number]).angles;
    // An iteration takes a gradient or a few, of about four energies each.
    const isOver = (): boolean => bounds.cancelled() || bounds.msLeft() < 8 * energyMs.last;
    const best = optimizeQaoa(simulator, start, { evaluationsMax: EVALUATIONS_MAX, isOver });
    let [worst, least] = [-Infinity, Infinity];
    for (let index = 0; index < 2 ** simulator.qubits; index++) {
      const value = simulator.costOf(index);
      if (value > worst) worst = value;
      if (value < least) least = value;
    }
    const counts = simulator.distribution(best.gammas, best.betas).sample(shots, bounds.seed);
    let [measured, optima] = [Infinity, 0];
    for (const [index, count] of counts) {
      const value = simulator.costOf(index);
      measured = Math.min(measured, value);
      if (value - least <= OPTIMUM_TOLERANCE * Math.max(1, Math.abs(least))) optima += count;
    }
    const { sign } = stated;
    return {
      layers,
      gammas: best.gammas,
      betas: best.betas,
      energy: sign * best.value || 0,
      approximationRatio: worst > least ? (worst - best.value) / (worst - least) : 1,
      bestMeasured: sign * measured || 0,
      optimumShare: optima / shots,
      evaluations: best.evaluations + starts.length,
    };
  } finally {
    await simulator.close();
  }
}

/** QAOA's energies over a grid, in the statement's own sense. */
export async function landscapeOf(
  { problem, sign }: Stated,
  grid: number,
  gammaMax: number | undefined,
  bounds: Bounds,
): Promise<Omit<Answers["landscape"], "optimum" | "provenOptimal">> {
  const simulator = await openSimulator(problem, { gradients: false, layersMax: 1 }, bounds);
  try {
    const msLeft = (): number => (bounds.cancelled() ? 0 : bounds.msLeft());
    const most = gammaMax ?? gammaPeriod(costOf(problem));
    const { gammas, betas, energies, best, isWhole } = computeLandscape(simulator, grid, most, msLeft);
    return {
      gammas,
      betas,
      energies: energies.map((energy) => sign * energy || 0),
      bestGamma: best.gamma,
      bestBeta: best.beta,
      bestEnergy: sign * best.energy || 0,
      degraded: !isWhole,
    };
  } finally {
    await simulator.close();
  }
}

/** Objectives of measurements at the best angles of a grid, with their shares. */
export async function sampledAtBest(
  { problem, sign }: Stated,
  grid: number,
  shots: number,
  bounds: Bounds,
): Promise<{ objective: number; probability: number }[]> {
  const simulator = await openSimulator(problem, { gradients: false, layersMax: 1 }, bounds);
  try {
    const { best } = computeLandscape(simulator, grid, gammaPeriod(costOf(problem)), bounds.msLeft);
    const angles = { gammas: [best.gamma], betas: [best.beta] };
    return sampleObjectives(simulator, angles, shots, bounds.seed).map((bar) => ({
      ...bar,
      objective: sign * bar.objective || 0,
    }));
  } finally {
    await simulator.close();
  }
}

/** QAOA's circuit with every qubit measured. @throws FlashloanError argument_invalid */
export function exportCircuit(
  { problem }: Stated,
  { gammas, betas, layers, version }: QuestionOf<"export-circuit">,
): Answers["export-circuit"] {
  const cost = costOf(problem);
  let angles: Angles = { gammas, betas };
  if (layers !== undefined) {
    if (layers > FIXED_LAYERS_MAX)
      throw invalid(`layers is ${layers}: fixed angles are known up to ${FIXED_LAYERS_MAX}; give angles instead`);
    angles = startsOf(cost, layers)[1] ?? angles;
  }
  const circuit = qaoaCircuit(problem.size, cost, angles.gammas, angles.betas);
  circuit.measureAll();
  return {
    circuit: version === 2 ? toQasm2(circuit) : toQasm3(circuit),
    qubits: circuit.qubits,
    gates: circuit.operations.length,
  };
}

interface EnergyProblem {
  readonly hamiltonian: PauliSum;
  readonly repulsion: number;
  readonly ansatz: Ansatz;
  readonly startOf: (random: () => number) => number[];
}

/** @throws FlashloanError argument_invalid for a family of circuits that does not suit the Hamiltonian */
function energyProblemOf({ hamiltonian: stated, ansatz }: QuestionOf<"minimize-energy">): EnergyProblem {
  const { kind, layers } = ansatz;
  const molecule =
    "molecule" in stated
      ? createMolecule(stated.molecule.first, stated.molecule.second, stated.molecule.distance)
      : undefined;
  let hamiltonian: PauliSum = molecule?.hamiltonian ?? [];
  if ("pauliSum" in stated) hamiltonian = stated.pauliSum;
  if ("isingChain" in stated)
    hamiltonian = isingChain(stated.isingChain.qubits, stated.isingChain.coupling, stated.isingChain.field);
  const qubits = hamiltonian[0]?.string.length ?? 0;
  const odd = hamiltonian.find(({ string }) => string.length !== qubits);
  if (odd)
    throw invalid(`hamiltonian: "${odd.string}" has ${odd.string.length} letters, and the first string ${qubits}`);
  const repulsion = molecule?.repulsion ?? 0;
  const of = (family: Ansatz, start: (random: () => number) => number): EnergyProblem => ({
    hamiltonian,
    repulsion,
    ansatz: family,
    startOf: (random) => Array.from({ length: family.parameters }, () => start(random)),
  });
  if (kind === "hardware-efficient")
    return of(hardwareEfficient(qubits, layers), (random) => (random() - 0.5) * Math.PI);
  if (kind === "coupled-cluster") {
    if (!molecule) throw invalid("ansatz.kind is coupled-cluster: that takes a molecule");
    return of(coupledCluster(4, [0, 1], molecule.excitations), () => 0);
  }
  if (!("isingChain" in stated)) throw invalid("ansatz.kind is hamiltonian-variational: that takes an isingChain");
  const parts = ["Z", "X"].map((letter) => hamiltonian.filter(({ string }) => string.includes(letter)));
  return of(hamiltonianVariational(parts, layers), (random) => 0.2 + 0.4 * random());
}

/** VQE from several starts, as long as there is time. @throws FlashloanError argument_invalid */
export function minimizeEnergy(question: QuestionOf<"minimize-energy">, bounds: Bounds): Answers["minimize-energy"] {
  const { hamiltonian, repulsion, ansatz, startOf } = energyProblemOf(question);
  const qubits = hamiltonian[0]?.string.length ?? 0;
  requireMemory(qubits, 2 ** qubits * STATE_BYTES, bounds.memoryBytes);
  const { evaluationsMax, includeCircuit } = question;
  const exact = exactEnergy(hamiltonian, qubits);
  const random = createRandom(bounds.seed);
  const energiesEach = 1 + 2 * ansatz.parameters;
  let [evaluations, tookMs, isCut] = [0, 0, false];
  let best: ReturnType<typeof runVqe> | undefined;
  for (let restart = 0; restart < RESTARTS_MAX; restart++) {
    let before = bounds.msLeft();
    isCut = false;
    const isOver = (): boolean => {
      const now = bounds.msLeft();
      [tookMs, before] = [Math.max(tookMs, before - now), now];
      isCut = bounds.cancelled() || now < tookMs || evaluations + energiesEach > evaluationsMax;
      return isCut;
    };
    const left = Math.max(1, Math.floor((evaluationsMax - evaluations) / energiesEach));
    const run = runVqe(
      hamiltonian,
      ansatz,
      startOf(() => random.next()),
      { evaluationsMax: left, isOver },
    );
    evaluations += run.evaluations;
    if (!best || run.energy < best.energy) best = run;
    if (isCut || evaluations + energiesEach > evaluationsMax) break;
    if (exact === undefined ? restart > 1 : best.energy - exact < OPTIMUM_TOLERANCE) break;
  }
  if (!best) throw invalid("the Hamiltonian has no terms");
  return {
    energy: best.energy,
    repulsion,
    ...(exact !== undefined && { exact }),
    parameters: [...best.parameters],
    evaluations,
    degraded: isCut && !(exact !== undefined && best.energy - exact < OPTIMUM_TOLERANCE),
    circuit: includeCircuit ? toQasm3(best.circuit) : "",
  };
}

function exactEnergy(hamiltonian: PauliSum, qubits: number): number | undefined {
  const isReal = hamiltonian.every(({ string }) => string.split("Y").length % 2 === 1);
  return qubits <= EXACT_QUBITS_MAX && isReal ? groundEnergy(hamiltonian) : undefined;
}

/** What a landscape, a distribution or an opinion on so many qubits takes at most, in bytes: for admission. */
export function simulationBytes(qubits: number, layers: number, gradients: boolean): number {
  if (qubits > QUBITS_MAX) return 2 ** Math.min(1000, qubits) * 16;
  return memoryBytes({ qubits: Math.max(1, qubits), gradients, layersMax: layers });
}
