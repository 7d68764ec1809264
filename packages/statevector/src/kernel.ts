import { KERNEL_CODE } from "./kernel-code.ts";

/** The part of the WebAssembly interface that is used; Node's types have none. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => KernelModule;
  Instance: new (module: KernelModule, imports: { env: { memory: KernelMemory } }) => { readonly exports: Kernel };
  Memory: new (size: { initial: number; maximum: number; shared: true }) => KernelMemory;
};

/** The compiled module; it may be sent to worker threads. */
export interface KernelModule {
  readonly [Symbol.toStringTag]: "WebAssembly.Module";
}

/** Shared memory of fixed size. */
export interface KernelMemory {
  readonly buffer: SharedArrayBuffer;
}

/** What assembly/index.ts exports. Addresses are bytes in the memory. */
export interface Kernel {
  /** Runs the job at an address, with its other threads if it has any; 0 if one of them did not finish in time. */
  lead(job: number): number;
  /** A 2×2 matrix of eight f64 on a target under a mask of controls; `storage` is 8 or 4 bytes a component. */
  applyGate(storage: number, state: number, qubits: number, target: number, controls: number, matrix: number): void;
  /** Re, or Im if `imaginary`, of Σ conj(ψ(x ⊕ flips))·(−1)^popcount(x ∧ signs)·ψ(x). */
  overlapOf(storage: number, state: number, qubits: number, flips: number, signs: number, imaginary: number): number;
}

const PAGE_BYTES = 65_536;

/** The most that 32-bit addresses reach. */
export const MEMORY_BYTES_MAX = 65_536 * PAGE_BYTES;

let compiled: KernelModule | undefined;

/** The module, compiled once a process. */
export function kernelModule(): KernelModule {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_CODE, "base64"));
  return compiled;
}

/** An instance with a memory of its own, of at least so many bytes, all zero. Pages take real memory when first touched. */
export function createKernel(bytes: number): { kernel: Kernel; memory: KernelMemory } {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { exports: kernel } = new WebAssembly.Instance(kernelModule(), { env: { memory } });
  return { kernel, memory };
}
