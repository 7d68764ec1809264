import { InvalidArgumentError } from "commander";

/** A whole number within bounds, from the command line. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    if (!/^\d+$/.test(text) || Number(text) < min || Number(text) > max)
      throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}.`);
    return Number(text);
  };
}
