import { randomBytes } from 'node:crypto';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Logger } from 'pino';
import { type Config, ConfigError } from './config.ts';
import { ADMIN } from './core/bootstrap.ts';
import { SigningError } from './core/signing/signing-error.ts';
import { addSigningService, removeSigningService, signingServiceNames } from './core/signing/signing-services.ts';
import { resealStoredSecrets } from './core/stored-secrets.ts';
import { createAdministrator, resetPassword, setAdministrator } from './core/users/administrators.ts';
import { type Database, openDatabase } from './db/database.ts';
import { checkMigrated } from './db/migrate.ts';
import { sql } from './db/sql.ts';
import { ValidationError } from './kit/errors.ts';
import { secretBox } from './lib/secret-box.ts';
import { plugins } from './plugins.ts';
import { secretKeys, secretKeysFile } from './services.ts';

interface Context {
  readonly url: string;
  readonly log: Logger;
  readonly print: (text: string) => void;
}

async function withOpenDatabase<T>({ url, log }: Context, work: (db: Database) => Promise<T>): Promise<T> {
  const db = openDatabase(url, { max: 2, log, awaited: false });
  try {
    await checkMigrated(db);
    const done = await work(db);
    await db.seenEverywhere();
    return done;
  } finally {
    await db.close();
  }
}

/** First line of standard input; undefined on a terminal, where the password would be seen, and where it is empty. */
async function lineFromInput(): Promise<string | undefined> {
  if (process.stdin.isTTY) return undefined;
  for await (const line of createInterface({ input: process.stdin })) return line === '' ? undefined : line;
  return undefined;
}

/** The password that standard input gives, or one made at random, which only printing it makes known. */
async function passwordFromInput(): Promise<{ readonly password: string; readonly random: boolean }> {
  const given = await lineFromInput();
  return { password: given ?? randomBytes(15).toString('base64url'), random: given === undefined };
}

/** Sets the password that standard input gives, or one made at random, which is printed. Throws ConfigError for an unknown user. */
async function resetPasswordFromInput(context: Context, user: string): Promise<void> {
  const { password, random } = await passwordFromInput();
  const known = await withOpenDatabase(context, (db) => resetPassword(db, user, password));
  if (!known) throw new ConfigError(`there is no user "${user}"`);
  context.print(random ? `The new password of ${user} is ${password}\n` : `The password of ${user} is set.\n`);
}

/** Makes an administrator with the password that standard input gives, or one made at random, which is printed. Throws ConfigError for a name that is taken. */
async function createFromInput(context: Context, user: string): Promise<void> {
  const { password, random } = await passwordFromInput();
  const made = await withOpenDatabase(context, (db) => createAdministrator(db, user, password));
  if (!made) throw new ConfigError(`there is a user "${user}" already; see \`deckle admin promote\``);
  context.print(`${user} is an administrator.${random ? ` The password is ${password}` : ''}\n`);
}

/** Makes a user an administrator, or an administrator a user like others. Throws ConfigError for an unknown one, and for the last. */
async function promote(context: Context, user: string, isAdministrator: boolean): Promise<void> {
  const known = await withOpenDatabase(context, (db) => setAdministrator(db, user, isAdministrator)).catch((error: unknown) => {
    if (error instanceof ValidationError) throw new ConfigError(`${user} is the last administrator who can log in`);
    throw error;
  });
  if (!known) throw new ConfigError(`there is no user "${user}"`);
  context.print(`${user} is ${isAdministrator ? 'an administrator' : 'no administrator any more'}.\n`);
}

/** `deckle admin ACTION [USER]`. Throws ConfigError for anything else. */
export async function changeUsers(context: Context, [action, user, ...more]: readonly string[]): Promise<void> {
  if (more.length === 0 && action === 'reset-password') return resetPasswordFromInput(context, user ?? ADMIN);
  if (more.length === 0 && user !== undefined) {
    if (action === 'create') return createFromInput(context, user);
    if (action === 'promote' || action === 'demote') return promote(context, user, action === 'promote');
  }
  throw new ConfigError('usage: deckle admin reset-password [USER] | create USER | promote USER | demote USER');
}

/** Replaces the key file in one step, durably. */
async function writeKeys(path: string, keys: readonly Buffer[]): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(aside, 'wx', 0o600);
  try {
    await file.writeFile(keys.map((key) => `${key.toString('base64')}\n`).join(''));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Puts a new key first and encrypts every stored secret with it, in one transaction. Older keys stay listed, for backups.
 * A running process would not know the new key: with the key file, this throws ConfigError while any is at work. Keys that
 * come from the environment were given to all of them before.
 */
export async function rotateKeys(context: Context & { readonly config: Config }): Promise<void> {
  const { config, print } = context;
  await withOpenDatabase(context, async (db) => {
    let keys = await secretKeys(config);
    if (!config.DECKLE_SECRET_KEYS) {
      const [row] = await db.query<{ running: number }>(
        sql`select count(*) as running from worker where last_heartbeat > now() - make_interval(secs => ${config.PULP_WORKER_TTL})`,
      );
      if (row && row.running > 0)
        throw new ConfigError(
          `stop Deckle first: ${row.running} servers and workers are at work, and would not know the new key`,
        );
      keys = [randomBytes(32), ...keys];
      await writeKeys(secretKeysFile(config), keys);
    }
    const count = await db.transaction((tx) => resealStoredSecrets(tx, secretBox(keys)));
    print(`${count} secrets are encrypted with the new key. Keep the older keys for as long as you keep backups.\n`);
  });
}

const SIGNING_SERVICE_USAGE = 'usage: deckle signing-service add NAME SCRIPT --key FINGERPRINT | remove NAME | list';

/** What `deckle signing-service` was given beside its action. */
export interface SigningServiceOptions {
  readonly key?: string | undefined;
  readonly class?: string | undefined;
  readonly home?: string | undefined;
  readonly keyring?: string | undefined;
  readonly 'public-key'?: string | undefined;
}

/** Adds, removes or lists signing services. Throws ConfigError where it was not asked rightly, or the service does not work. */
export async function changeSigningServices(
  context: Context & { readonly words: readonly string[]; readonly options: SigningServiceOptions },
): Promise<void> {
  const { options, print } = context;
  const [action, name, script, ...more] = context.words;
  const { key, home, keyring } = options;
  const classes = plugins.flatMap(({ signingClasses }) => signingClasses ?? []);
  const wanted = options.class ?? 'core:AsciiArmoredDetachedSigningService';
  const signingClass = classes.find((known) => known.name === wanted);
  if (!signingClass) throw new ConfigError(`--class: there are ${classes.map((known) => known.name).join(' and ')}`);
  const named = name !== undefined && more.length === 0;
  try {
    if (action === 'add' && named && script !== undefined && key !== undefined) {
      const service = { name, script, signingClass, key, place: { home, keyring }, publicKey: options['public-key'] };
      const fingerprint = await withOpenDatabase(context, (db) => addSigningService(db, service));
      print(`The signing service ${name} signs with the key ${fingerprint}.\n`);
    } else if (action === 'remove' && named && script === undefined) {
      await withOpenDatabase(context, (db) => removeSigningService(db, name));
      print(`The signing service ${name} is removed.\n`);
    } else if (action === 'list' && name === undefined) {
      for (const known of await withOpenDatabase(context, signingServiceNames)) print(`${known}\n`);
    } else throw new ConfigError(SIGNING_SERVICE_USAGE);
  } catch (error) {
    throw error instanceof SigningError ? new ConfigError(error.message) : error;
  }
}
