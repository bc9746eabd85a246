import { execFile } from 'node:child_process';
import { codeOf } from '../../../storage/full-disk.ts';

/** Longer than any delta of an operating system takes. */
const MAX_RUN_MS = 30 * 60 * 1000;
const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_SHOWN = 500;

/** There is no `ostree` on PATH. */
export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError';
  constructor() {
    super('the program ostree is not installed on this worker (not found on PATH)');
  }
}

/** `ostree` ran and did not do what it was asked to. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** How `env` ends where it does not find the program. */
const NOT_FOUND = 127;

/**
 * Runs the real `ostree` without a shell, and ends it with the signal. It unpacks what it compares into `temporary`; into /var/tmp
 * otherwise, which may be small or read-only. Throws MissingProgramError, ProgramError with what it said, or the signal's reason.
 */
export async function runOstree(args: readonly string[], temporary: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const options = { signal, timeout: MAX_RUN_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const;
  await new Promise<void>((resolve, reject) => {
    execFile('env', [`TMPDIR=${temporary}`, 'ostree', ...args], options, (error, _, stderr) => {
      if (!error) return resolve();
      if (signal.aborted) return reject(signal.reason);
      if (error.code === NOT_FOUND || codeOf(error) === 'ENOENT') return reject(new MissingProgramError());
      const said = stderr.trim().slice(-MAX_SHOWN);
      const reason = error.killed
        ? `it was ended after ${MAX_RUN_MS / 60_000} minutes`
        : said || error.message.slice(0, MAX_SHOWN);
      reject(new ProgramError(`ostree failed: ${reason}`, { cause: error }));
    });
  });
}
