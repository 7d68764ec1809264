import type { Circuit, Operation } from "./circuit.ts";
import { GATES, type GateDefinition } from "./gates.ts";

/** The circuit in OpenQASM 2 (Cross et al. 2017), with the gates of qelib1.inc. */
export function toQasm2(circuit: Circuit): string {
  const { qubits, operations, measurements } = circuit;
  return lines([
    "OPENQASM 2.0;",
    'include "qelib1.inc";',
    `qreg q[${qubits}];`,
    ...(measurements.length > 0 ? [`creg c[${qubits}];`] : []),
    ...operations.map((operation) => statement(operation.gate, operation)),
    ...measurements.map(({ qubit, bit }) => `measure q[${qubit}] -> c[${bit}];`),
  ]);
}

/** Gates that stdgates.inc lacks and that are no modified gate of it. */
const DEFINITIONS = {
  cu3: "gate cu3(theta, phi, lambda) a, b { cu(theta, phi, lambda, 0) a, b; }",
  rzz: "gate rzz(theta) a, b { cx a, b; rz(theta) b; cx a, b; }",
  rxx: "gate rxx(theta) a, b { h a; h b; cx a, b; rz(theta) b; cx a, b; h a; h b; }",
  rccx: "gate rccx a, b, c { h c; t c; cx b, c; tdg c; cx a, c; t c; cx b, c; tdg c; h c; }",
  rc3x: "gate rc3x a, b, c, d { h d; t d; cx c, d; tdg d; h d; cx a, d; t d; cx b, d; tdg d; cx a, d; t d; cx b, d; tdg d; h d; t d; cx c, d; tdg d; h d; }",
} as const;

/** The circuit in OpenQASM 3 (Cross et al. 2022), with the gates of stdgates.inc. */
export function toQasm3(circuit: Circuit): string {
  const { qubits, operations, measurements } = circuit;
  const names = operations.map(({ gate }) => (GATES[gate] as GateDefinition).qasm3 ?? gate);
  const used = new Set(names.map((name) => name.split(" ").at(-1)));
  return lines([
    "OPENQASM 3.0;",
    'include "stdgates.inc";',
    ...Object.entries(DEFINITIONS)
      .filter(([name]) => used.has(name))
      .map(([, definition]) => definition),
    `qubit[${qubits}] q;`,
    ...(measurements.length > 0 ? [`bit[${qubits}] c;`] : []),
    ...operations.map((operation, index) => statement(names[index]!, operation)),
    ...measurements.map(({ qubit, bit }) => `c[${bit}] = measure q[${qubit}];`),
  ]);
}

function statement(name: string, { qubits, parameters }: Operation): string {
  const angles = parameters.length > 0 ? `(${parameters.join(", ")})` : "";
  return `${name}${angles} ${qubits.map((qubit) => `q[${qubit}]`).join(", ")};`;
}

function lines(statements: readonly string[]): string {
  return `${statements.join("\n")}\n`;
}
