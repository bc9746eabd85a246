import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The `pulp` command line, set up for a server, as a user who has a home of his own. */
export interface PulpCli {
  /** For the files of a test. */
  readonly folder: string;
  /** Runs a command to its end; answers the JSON that it prints. Rejects, with `stderr`, where it fails. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  pulp(...args: readonly string[]): Promise<any>;
  remove(): Promise<void>;
}

/** Sets it up. Needs `pulp` on the PATH. */
export async function pulpCli(url: string, { username = 'admin', password = 'password' } = {}): Promise<PulpCli> {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-cli-'));
  const config = join(folder, 'cli.toml');
  const lines = [`base_url = "${url}"`, `username = "${username}"`, `password = "${password}"`, 'verify_ssl = false'];
  await writeFile(config, `[cli]\n${lines.join('\n')}\n`);
  const env = { ...process.env, HOME: folder, XDG_CACHE_HOME: folder, XDG_CONFIG_HOME: folder };
  return {
    folder,
    async pulp(...args) {
      const { stdout } = await run('pulp', ['--config', config, ...args], { env });
      return stdout.trim() === '' ? undefined : JSON.parse(stdout);
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
