import { FormatError } from '../../../src/plugins/ostree/format/format-error.ts';

/** The message of the FormatError that `parse` throws; fails where it throws another or none. */
export function refusal(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** As `refusal`, for what is done in steps. */
export async function laterRefusal(parse: () => Promise<unknown>): Promise<string> {
  const outcome = await parse().then(
    () => undefined,
    (error: unknown) => error,
  );
  return refusal(() => {
    if (outcome !== undefined) throw outcome;
  });
}
