import { type ChildProcess, spawn } from 'node:child_process';

/** A program that has not done what it was run for. The message tells why: the end of what it wrote to standard error, if it did. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** There is no program of that name on PATH. */
export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError';
  constructor(program: string) {
    super(`the program ${program} is not installed on this worker (not found on PATH)`);
  }
}

export interface ProgramOptions {
  readonly cwd: string;
  /** Environment variables beside those of this process. */
  readonly variables: Readonly<Record<string, string>>;
  readonly limitMs: number;
  /** Bytes that it may print to standard output: 64 KiB unless told. */
  readonly mostOutput?: number;
  readonly signal?: AbortSignal | undefined;
}

const OUTPUT_BYTES = 64 * 1024;
/** Of what it writes to standard error the end is kept, which tells why it failed. */
const TAIL_BYTES = 4096;
/** How a shell ends that does not find the program that it is to be replaced by. */
const NOT_FOUND = 127;
/** A shell, so that `env` does not take a path with a "=" for a further variable. */
const RUN = ['sh', '-c', 'exec "$0" "$@"'];

/**
 * Runs a program, its arguments as they are, in a process group of its own, which is ended with all that is in it when the time is over, when it
 * prints too much, or with the signal. Answers what it printed. Throws MissingProgramError, ProgramError, or the signal's reason.
 */
export async function runProgram(program: string, args: readonly string[], options: ProgramOptions): Promise<string> {
  const { cwd, variables, limitMs, mostOutput = OUTPUT_BYTES, signal } = options;
  signal?.throwIfAborted();
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const child = spawn('env', [...assignments, ...RUN, program, ...args], {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let ended: string | undefined;
  const end = (why: string): void => {
    ended ??= why;
    endGroup(child);
  };
  const printed: Buffer[] = [];
  let size = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > mostOutput) end(`it printed more than ${mostOutput} bytes`);
    else printed.push(chunk);
  });
  let said = Buffer.alloc(0);
  child.stderr.on('data', (chunk: Buffer) => {
    said = Buffer.concat([said, chunk]).subarray(-TAIL_BYTES);
  });
  const timer = setTimeout(() => end(`it did not end within ${Math.ceil(limitMs / 1000)} s`), limitMs);
  const abort = (): void => end('it was ended');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const { code, killed } = await exitOf(child, program);
    signal?.throwIfAborted();
    if (ended === undefined && code === 0) return Buffer.concat(printed).toString();
    // A script of the operator's may end so for reasons of its own.
    if (ended === undefined && code === NOT_FOUND && !program.includes('/')) throw new MissingProgramError(program);
    const tail = said.toString().trim();
    const reason = ended ?? (killed ? `it was ended by ${killed}` : `it ended with status ${code}`);
    throw new ProgramError(tail === '' ? reason : ended === undefined ? tail : `${reason}: ${tail}`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** How it has ended, once it has, and all that it printed was read. */
function exitOf(child: ChildProcess, program: string): Promise<{ readonly code: number | null; readonly killed: string | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new MissingProgramError(program) : error),
    );
    child.once('close', (code, killed) => resolve({ code, killed }));
  });
}

/** Ends the program and what it has started, save for what has left its group. */
function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  // Who has left the group may have its pipes still.
  child.stdout?.destroy();
  child.stderr?.destroy();
}
