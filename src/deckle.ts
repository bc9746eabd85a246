#!/usr/bin/env -S node --max-old-space-size=1024 --max-semi-space-size=8
// A modest heap: below 2 GB of old space V8 collects before the heap has doubled, not when it has grown fourfold. What lives is
// some 40 MB, and a worker's peak is 25 to 50 MB lower for it. The limit itself is far above what a sync needs. Only the start
// of a process can say so; those that it forks inherit it. Source maps would take 23 MB in each of them (docs/adr/022).
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { type Config, ConfigError, readConfig, settingsTable } from './config.ts';
import { createLog } from './lib/log.ts';
import { packageVersion } from './lib/package-root.ts';
import { fail, runUntilStopped, SUPERVISOR_STOP_LIMIT_S } from './run.ts';

/** One subcommand. Modules are loaded when it is run: the supervisor need not carry the server. */
interface Command {
  readonly usage: string;
  readonly summary: string;
  readonly help: string;
  /** Options that it takes, each with a value. */
  readonly options?: readonly string[];
  /** Options that it takes without a value; one that is given is `yes`. */
  readonly flags?: readonly string[];
  run(config: Config, log: Logger, rest: readonly string[], options: Readonly<Record<string, string | undefined>>): Promise<void>;
}

const print = (text: string): void => void process.stdout.write(text);
const thisModule = fileURLToPath(import.meta.url);

/** Runs `work` on the configured database, or on the embedded one, which is started for it unless it runs already. */
async function withDatabase(config: Config, log: Logger, work: (url: string, embedded: boolean) => Promise<void>): Promise<void> {
  if (config.DATABASE_URL) return work(config.DATABASE_URL, false);
  const { prepareDataFolder } = await import('./data-folder.ts');
  const { startPostgres } = await import('./embedded/postgres.ts');
  prepareDataFolder(config.DATA_DIR);
  const postgres = await startPostgres({ folder: join(config.DATA_DIR, 'postgres'), log });
  try {
    await work(postgres.url, true);
  } finally {
    if (!postgres.adopted) await postgres.stop();
  }
}

const commands: Readonly<Record<string, Command>> = {
  start: {
    usage: 'start',
    summary: 'Run everything on this machine: database, server and workers',
    help: 'Without DATABASE_URL a PostgreSQL of its own runs in DATA_DIR. Migrates, makes the user admin on the first start, then runs\nDECKLE_SERVERS servers and WORKERS workers until Ctrl-C.',
    async run(config, log) {
      const { start } = await import('./start.ts');
      await runUntilStopped(log, () => start(config, log, thisModule), SUPERVISOR_STOP_LIMIT_S);
    },
  },
  server: {
    usage: 'server [NUMBER]',
    summary: 'Run servers on one port: REST API, registry and content',
    help: 'Needs DATABASE_URL and a database that `deckle migrate` has set up. Runs DECKLE_SERVERS processes; any number of machines may do so,\nbehind a proxy. With a NUMBER it is one of them, which the log names by it.',
    async run(config, log, [number]) {
      if (number === undefined && config.DECKLE_SERVERS > 1) {
        const { startServers } = await import('./supervised-servers.ts');
        return runUntilStopped(log, () => startServers(config, log, thisModule), SUPERVISOR_STOP_LIMIT_S);
      }
      const { startServer } = await import('./server.ts');
      await runUntilStopped(log, () => startServer(config, log));
    },
  },
  worker: {
    usage: 'worker [NUMBER]',
    summary: 'Run one worker, which does the tasks',
    help: 'Needs DATABASE_URL and a database that `deckle migrate` has set up. Any number may run; the log names them by NUMBER.',
    async run(config, log) {
      const { startWorker } = await import('./worker.ts');
      await runUntilStopped(log, () => startWorker(config, log));
    },
  },
  migrate: {
    usage: 'migrate',
    summary: 'Set up the database, or bring it to this version',
    help: 'Applies the migrations, and on the first run makes the user admin with ADMIN_PASSWORD, or with a password that is made at\nrandom and printed once. Safe to run again, and by several machines at once.',
    async run(config, log) {
      const { setUpDatabase } = await import('./start.ts');
      await withDatabase(config, log, (url, embedded) => setUpDatabase(config, { url, embedded, log, print }));
    },
  },
  admin: {
    usage: 'admin ACTION [USER]',
    summary: 'Set a password, or say who is an administrator',
    help: `  deckle admin reset-password [USER]   a new password (default: for admin), and enable the account
  deckle admin create USER             a new administrator
  deckle admin promote USER            a user becomes an administrator
  deckle admin demote USER             an administrator becomes a user; the last one stays
Passwords are the first line of standard input; on a terminal one is made at random and printed.
  echo "$NEW_PASSWORD" | deckle admin reset-password`,
    async run(config, log, words) {
      const { changeUsers } = await import('./admin.ts');
      await withDatabase(config, log, (url) => changeUsers({ url, log, print }, words));
    },
  },
  'rotate-keys': {
    usage: 'rotate-keys',
    summary: 'Encrypt the stored secrets with a new key',
    help: 'Puts a new key first in DATA_DIR/keys/secrets.key and encrypts every stored secret with it; stop Deckle before. With\nDECKLE_SECRET_KEYS set, encrypts with the first of those. Older keys stay in the list, for backups.',
    async run(config, log) {
      const { rotateKeys } = await import('./admin.ts');
      await withDatabase(config, log, (url) => rotateKeys({ config, url, log, print }));
    },
  },
  backup: {
    usage: 'backup TARGET [--without-keys]',
    summary: 'Back up database, files and keys, while Deckle runs',
    help: `Makes a folder of its own in TARGET, named by the time. Each is whole by itself; files that the one before has too take no room
again (hard links). Old ones are removed with \`rm -r\`.
  --without-keys      leave DATA_DIR/keys out; keep it elsewhere, without it the secrets of remotes are lost`,
    flags: ['without-keys'],
    async run(config, log, [target, ...more], options) {
      if (target === undefined || more.length > 0) throw new ConfigError('usage: deckle backup TARGET [--without-keys]');
      const { backUp } = await import('./backup/back-up.ts');
      const withKeys = options['without-keys'] === undefined;
      await withDatabase(config, log, (url) => backUp({ config, url, target, withKeys, log, print }));
    },
  },
  restore: {
    usage: 'restore SOURCE [--check]',
    summary: 'Restore a backup into an empty DATA_DIR and database',
    help: `SOURCE is one backup, or a folder of them, of which the newest is taken. Every file is compared with its digest; what fails leaves
nothing behind. A backup of an older Deckle is brought to this version.
  --check             read and compare everything, restore nothing`,
    flags: ['check'],
    async run(config, log, [source, ...more], options) {
      if (source === undefined || more.length > 0) throw new ConfigError('usage: deckle restore SOURCE [--check]');
      const { checkBackup, openBackup, requireEmptyFolder, restore } = await import('./backup/restore.ts');
      if (options.check !== undefined) return checkBackup(source, print);
      await requireEmptyFolder(config.DATA_DIR);
      const backup = await openBackup(source);
      await restore({ config, backup, log, print, withDatabase: (work) => withDatabase(config, log, work) });
    },
  },
  'signing-service': {
    usage: 'signing-service ACTION',
    summary: 'Register a script that signs, or remove one',
    help: `  deckle signing-service add NAME SCRIPT --key FINGERPRINT [OPTION…]
  deckle signing-service remove NAME
  deckle signing-service list
The script is given the path of a file, and in PULP_SIGNING_KEY_FINGERPRINT the key; it prints JSON that names the signature. It is
tried once, here, and its signature verified with the public key; afterwards the workers run it.
  --class CLASS       core:AsciiArmoredDetachedSigningService (default), or container:ManifestSigningService
  --home FOLDER       where gpg keeps its keys; default: as gpg itself
  --keyring FILE      a further key ring of gpg that has the public key
  --public-key FILE   the public key, exported; in place of gpg's own keys`,
    options: ['key', 'class', 'home', 'keyring', 'public-key'],
    async run(config, log, words, options) {
      const { changeSigningServices } = await import('./admin.ts');
      await withDatabase(config, log, (url) => changeSigningServices({ url, log, print, words, options }));
    },
  },
};

/** Commands whose processes have numbers. */
const numbered = new Set(['server', 'worker']);

function overview(): string {
  const lines = Object.values(commands).map(({ usage, summary }) => `  ${usage.padEnd(28)} ${summary}`);
  const settings = settingsTable().map(
    ({ name, fallback, description }) => `  ${name}${fallback ? ` (${fallback})` : ''}\n      ${description}`,
  );
  return `Deckle ${packageVersion()}: mirrors container images into immutable versions, and serves them.

Usage: deckle COMMAND [--help]

${lines.join('\n')}

Settings are read from the environment:

${settings.join('\n')}
`;
}

async function main(args: readonly string[]): Promise<void> {
  const options = Object.values(commands).flatMap((known) => known.options ?? []);
  const flags = Object.values(commands).flatMap((known) => known.flags ?? []);
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...Object.fromEntries(options.map((option) => [option, { type: 'string' as const }])),
      ...Object.fromEntries(flags.map((flag) => [flag, { type: 'boolean' as const }])),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'V' },
    },
  });
  const [name, ...rest] = positionals;
  if (values.version) return print(`deckle ${packageVersion()}\n`);
  if (name === undefined) {
    print(overview());
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const command = commands[name];
  if (!command) throw new ConfigError(`unknown command "${name}"; see \`deckle --help\``);
  if (values.help) return print(`Usage: deckle ${command.usage}\n\n${command.summary}.\n${command.help}\n`);
  const { help: _help, version: _version, ...rawOptions } = values as Record<string, string | true | undefined>;
  const given = Object.fromEntries(Object.entries(rawOptions).map(([option, value]) => [option, value === true ? 'yes' : value]));
  const strange = Object.keys(given).find((option) => !command.options?.includes(option) && !command.flags?.includes(option));
  if (strange !== undefined) throw new ConfigError(`\`deckle ${name}\` has no option --${strange}`);
  const config = readConfig();
  const log = createLog({
    level: config.LOG_LEVEL,
    format: config.DECKLE_LOG_FORMAT,
    process: numbered.has(name) ? positionals.join(' ') : name,
  });
  await command.run(config, log, rest, given);
}

// A terminal or pipe that is gone is no reason to end: what we are doing goes on.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
if (process.argv[1] && realpathSync(process.argv[1]) === realpathSync(thisModule)) {
  main(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
    fail(error.code?.startsWith('ERR_PARSE_ARGS') ? new ConfigError(error.message) : error);
  });
}
