import { FormatError } from '../format/format-error.ts';

/** Runs a step that parses what came from `url`; its FormatError gets to say where from. */
export function parsing<T>(url: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(`${error.message}, at ${url}`, { cause: error });
  }
}
