import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a program printed. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** Somebody who runs client programs of registries: with a home of his own, so that nothing of the machine's is read or written. */
export interface RegistryClient {
  /** For the files of a test. */
  readonly folder: string;
  /** Runs a program in the folder to its end; rejects with what it said where it fails. `input` is its standard input. */
  run(program: string, args: readonly string[], options?: { readonly input?: string }): Promise<Printed>;
  remove(): Promise<void>;
}

const MAX_OUTPUT = 64 * 1024 * 1024;
const TIMEOUT_MS = 120_000;

/** Makes a client. `env` are settings of the programs that it runs. */
export async function registryClient(env: Readonly<Record<string, string>> = {}): Promise<RegistryClient> {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-client-'));
  const home = join(folder, 'home');
  await mkdir(join(home, '.docker'), { recursive: true });
  const own: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: home,
    DOCKER_CONFIG: join(home, '.docker'),
    REGISTRY_AUTH_FILE: join(home, 'auth.json'),
    XDG_RUNTIME_DIR: home,
    ...env,
  };
  return {
    folder,
    run: (program, args, { input } = {}) =>
      new Promise((resolve, reject) => {
        const options = { cwd: folder, env: own, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT };
        const child = execFile(program, args, options, (error, stdout, stderr) => {
          if (error)
            reject(new Error(`${program} ${args.join(' ')}: ${error.signal ?? ''} ${stdout}${stderr}`, { cause: error }));
          else resolve({ stdout, stderr });
        });
        child.stdin?.end(input);
      }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
