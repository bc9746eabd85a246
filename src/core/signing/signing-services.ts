import { access, constants, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 } from 'uuid';
import type { Database } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { SigningClass } from '../../kit/signing-class.ts';
import { homeWith, type KeyPlace, type PublicKey, publicKeyOf, verifySignature } from './gpg.ts';
import { runSigningScript } from './run-script.ts';
import { SigningError } from './signing-error.ts';

/** A signing service that is to be registered. */
export interface NewSigningService {
  readonly name: string;
  /** Path of the script. */
  readonly script: string;
  readonly signingClass: SigningClass;
  /** Fingerprint or id of the key, which is looked for in `place`, or in the file `publicKey`. */
  readonly key: string;
  readonly place: KeyPlace;
  readonly publicKey?: string | undefined;
}

/**
 * Registers a signing service, after its script has signed a sample and the signature was verified with the public key alone. Answers
 * the key's fingerprint. Throws SigningError.
 */
export async function addSigningService(db: Database, given: NewSigningService): Promise<string> {
  const [known] = await db.query(sql`select id from signing_service where name = ${given.name}`);
  if (known) throw new SigningError(`there is a signing service "${given.name}" already`);
  const script = await executable(given.script);
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'deckle-signing-')));
  try {
    const key = await keyOf(given, folder);
    await trySigning(script, key, given.signingClass, folder);
    await db.execute(sql`
      insert into signing_service (id, service_class, name, public_key, pubkey_fingerprint, script)
      values (${v7()}::uuid, ${given.signingClass.name}, ${given.name}, ${key.armored}, ${key.fingerprint}, ${script})`);
    return key.fingerprint;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes a signing service, also where a repository uses it, which has none then. Throws SigningError where there is none of the name. */
export async function removeSigningService(db: Database, name: string): Promise<void> {
  if ((await db.execute(sql`delete from signing_service where name = ${name}`)) === 0)
    throw new SigningError(`there is no signing service "${name}"`);
}

/** The names of all, in order. */
export async function signingServiceNames(db: Database): Promise<string[]> {
  const rows = await db.query<{ name: string }>(sql`select name from signing_service order by name`);
  return rows.map(({ name }) => name);
}

/** The absolute path of a file that may be run. */
async function executable(script: string): Promise<string> {
  try {
    const path = await realpath(script);
    if (!(await stat(path)).isFile()) throw new Error('it is no file');
    await access(path, constants.X_OK);
    return path;
  } catch (error) {
    throw new SigningError(`the script ${script} cannot be run: ${(error as Error).message}`, { cause: error });
  }
}

async function keyOf({ key, place, publicKey }: NewSigningService, folder: string): Promise<PublicKey> {
  if (publicKey === undefined) return publicKeyOf(key, place);
  const exported = await readFile(publicKey).catch((error: Error) => {
    throw new SigningError(`the public key ${publicKey} cannot be read: ${error.message}`, { cause: error });
  });
  return publicKeyOf(key, await homeWith(exported, join(folder, 'given')));
}

async function trySigning(script: string, key: PublicKey, signingClass: SigningClass, folder: string): Promise<void> {
  const sample = join(folder, 'sample');
  await writeFile(sample, signingClass.sample);
  const subject = { folder, name: 'test' };
  const signature = await runSigningScript(script, sample, { signingClass, fingerprint: key.fingerprint, subject });
  const place = await homeWith(key.armored, join(folder, 'verifier'));
  await verifySignature(key, place, signature, signingClass.detached ? sample : undefined);
}
