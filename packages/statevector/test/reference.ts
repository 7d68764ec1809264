// An independent simulator for the tests: dense, slow, straight from the definitions.

/** A complex number. */
export type Complex = readonly [re: number, im: number];

/** A square matrix by rows. */
export type Dense = readonly (readonly Complex[])[];

export function times([a, b]: Complex, [c, d]: Complex): Complex {
  return [a * c - b * d, a * d + b * c];
}

function plus([a, b]: Complex, [c, d]: Complex): Complex {
  return [a + c, b + d];
}

/** e^{i·angle}. */
export function expi(angle: number): Complex {
  return [Math.cos(angle), Math.sin(angle)];
}

/** A gate's matrix on the whole register: row and column bits of `qubits` index the matrix, first qubit least. */
export function embed(gate: Dense, qubits: readonly number[], register: number): Dense {
  const within = (index: number): number => qubits.reduce((sum, qubit, k) => sum + (((index >> qubit) & 1) << k), 0);
  const outside = (index: number): number => qubits.reduce((rest, qubit) => rest & ~(1 << qubit), index);
  const size = 2 ** register;
  return Array.from({ length: size }, (_, row) =>
    Array.from({ length: size }, (_, column) =>
      outside(row) === outside(column) ? gate[within(row)]![within(column)]! : ([0, 0] as const),
    ),
  );
}

export function transform(matrix: Dense, state: readonly Complex[]): Complex[] {
  return matrix.map((row) => row.reduce<Complex>((sum, entry, k) => plus(sum, times(entry, state[k]!)), [0, 0]));
}

/** The state after QAOA's layers, from the definition: e^{−iγC}, then e^{−iβX} on each qubit. */
export function qaoaState(costs: ArrayLike<number>, gammas: readonly number[], betas: readonly number[]): Complex[] {
  let state: Complex[] = Array.from(costs, () => [costs.length ** -0.5, 0]);
  for (const [layer, gamma] of gammas.entries()) {
    state = state.map((amplitude, x) => times(amplitude, expi(-gamma * costs[x]!)));
    const [cos, sin] = [Math.cos(betas[layer]!), Math.sin(betas[layer]!)];
    for (let bit = 1; bit < costs.length; bit *= 2) {
      state = state.map((amplitude, x) => plus(times([cos, 0], amplitude), times([0, -sin], state[x ^ bit]!)));
    }
  }
  return state;
}

/** Σ |amplitude|²·cost. */
export function expectation(state: readonly Complex[], costs: ArrayLike<number>): number {
  return state.reduce((sum, [re, im], x) => sum + (re * re + im * im) * costs[x]!, 0);
}
