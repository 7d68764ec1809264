/** Runs between two looks at the number of threads that is not in use; sooner at first, when code still gets faster. */
const LOOK_EVERY = 32;

/**
 * Chooses between one thread and several by what each took lately: a pass ends when its last thread does, so on a busy
 * machine several are slower than one.
 */
export class Pace {
  readonly #several: number;
  readonly #took = new Map<number, number>();
  #runs = 0;
  #last = 0;

  constructor(several: number) {
    this.#several = several;
  }

  /** Threads for the next run. */
  next(): number {
    this.#runs += 1;
    const several = this.#took.get(this.#several);
    if (several === undefined) return this.#several;
    const one = this.#took.get(1);
    if (one === undefined) return 1;
    const [faster, slower] = several <= one ? [this.#several, 1] : [1, this.#several];
    const looks = this.#runs % LOOK_EVERY === 0 || (this.#runs < LOOK_EVERY && Number.isInteger(Math.log2(this.#runs)));
    return looks ? slower : faster;
  }

  /** What a run took, in any unit that is the same for all. */
  record(threads: number, took: number): void {
    const before = this.#took.get(threads);
    // Of what ran just before, an average; what was last seen long ago says nothing about now.
    this.#took.set(threads, before === undefined || threads !== this.#last ? took : (before + took) / 2);
    this.#last = threads;
  }
}
