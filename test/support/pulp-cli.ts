import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MAX_OUTPUT = 64 * 1024 * 1024;

/** How a command ended, and what it printed. */
export interface CommandEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The `pulp` command line, set up for a server, as a user who has a home of his own. */
export interface PulpCli {
  /** For the files of a test. */
  readonly folder: string;
  /** Runs a command to its end, whatever comes. The words of the command may be given as one, `container repository list`; options are one argument each. */
  run(command: string, ...options: readonly string[]): Promise<CommandEnd>;
  /** Runs a command to its end; answers the JSON that it prints. Rejects, with `stderr`, where it fails. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  pulp(command: string, ...options: readonly string[]): Promise<any>;
  /** The same command line with the name and password of another user. */
  as(username: string, password: string): PulpCli;
  remove(): Promise<void>;
}

/** Sets it up. Needs `pulp` on the PATH. */
export async function pulpCli(url: string, { username = 'admin', password = 'password' } = {}): Promise<PulpCli> {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-cli-'));
  const config = join(folder, 'cli.toml');
  const lines = [`base_url = "${url}"`, `username = "${username}"`, `password = "${password}"`, 'verify_ssl = false'];
  await writeFile(config, `[cli]\n${lines.join('\n')}\n`);
  return commandLine(folder, ['--config', config]);
}

function commandLine(folder: string, settings: readonly string[]): PulpCli {
  const env = { ...process.env, HOME: folder, XDG_CACHE_HOME: folder, XDG_CONFIG_HOME: folder };
  const run: PulpCli['run'] = (command, ...options) => {
    const args = [...settings, ...command.split(' '), ...options];
    return new Promise((resolve, reject) => {
      execFile('pulp', args, { env, maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
        // The exit status of a program that ran is a number; what kept it from running is a word.
        if (error && typeof error.code !== 'number') reject(error);
        else resolve({ code: Number(error?.code ?? 0), stdout, stderr });
      });
    });
  };
  return {
    folder,
    run,
    async pulp(command, ...options) {
      const { code, stdout, stderr } = await run(command, ...options);
      if (code !== 0) throw Object.assign(new Error(`pulp ${command} ${options.join(' ')}: ${stderr}`), { code, stderr });
      return stdout.trim() === '' ? undefined : JSON.parse(stdout);
    },
    as: (username, password) => commandLine(folder, [...settings, '--username', username, '--password', password]),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
