import { ProgramError, runProgram } from '../../../lib/run-program.ts';

/** Longer than any delta of an operating system takes. */
const MAX_RUN_MS = 30 * 60 * 1000;
const MAX_OUTPUT_BYTES = 1024 * 1024;

/**
 * Runs the real `ostree`, and ends it with the signal. It unpacks what it compares into `temporary`; into /var/tmp otherwise, which may be
 * small or read-only. Throws MissingProgramError, ProgramError with what it said, or the signal's reason.
 */
export async function runOstree(args: readonly string[], temporary: string, signal: AbortSignal): Promise<void> {
  try {
    await runProgram('ostree', args, {
      cwd: temporary,
      variables: { TMPDIR: temporary },
      limitMs: MAX_RUN_MS,
      mostOutput: MAX_OUTPUT_BYTES,
      signal,
    });
  } catch (error) {
    throw error instanceof ProgramError ? new ProgramError(`ostree failed: ${error.message}`, { cause: error }) : error;
  }
}
