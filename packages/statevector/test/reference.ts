// An independent simulator for the tests: dense, slow, straight from the definitions.

/** A complex number. */
export type Complex = readonly [re: number, im: number];

/** e^{i·angle}. */
function expi(angle: number): Complex {
  return [Math.cos(angle), Math.sin(angle)];
}

function times([a, b]: Complex, [c, d]: Complex): Complex {
  return [a * c - b * d, a * d + b * c];
}

function plus([a, b]: Complex, [c, d]: Complex): Complex {
  return [a + c, b + d];
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
