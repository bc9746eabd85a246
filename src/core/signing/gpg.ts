import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SigningError } from './signing-error.ts';

const LIMIT_MS = 60_000;

/** Where gpg finds a key: in its own home and key ring unless others are given. */
export interface KeyPlace {
  readonly home?: string | undefined;
  readonly keyring?: string | undefined;
}

/** A public key: ASCII-armored, and its fingerprint in upper-case hexadecimal. */
export interface PublicKey {
  readonly armored: string;
  readonly fingerprint: string;
}

/** What gpg prints. Throws SigningError with what it says where it fails. */
function gpg({ home, keyring }: KeyPlace, args: readonly string[]): Promise<string> {
  const place = [...(home === undefined ? [] : ['--homedir', home]), ...(keyring === undefined ? [] : ['--keyring', keyring])];
  return new Promise((resolve, reject) => {
    execFile('gpg', [...place, '--batch', '--no-tty', ...args], { timeout: LIMIT_MS }, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if (error.code === 'ENOENT')
        reject(new SigningError('gpg is not on the PATH: install GnuPG, which verifies signatures'));
      else reject(new SigningError(stderr.trim() || error.message, { cause: error }));
    });
  });
}

/** The one public key that goes by this fingerprint or id. Throws SigningError where there is none, or more. */
export async function publicKeyOf(key: string, place: KeyPlace): Promise<PublicKey> {
  const listed = (await gpg(place, ['--with-colons', '--fingerprint', '--', key])).split('\n').map((line) => line.split(':'));
  const keys = listed.filter(([kind]) => kind === 'pub').length;
  if (keys !== 1) throw new SigningError(`${keys} keys go by ${key}; name one by its fingerprint`);
  // The first is the primary key's; those of subkeys follow.
  const fingerprint = listed.find(([kind]) => kind === 'fpr')?.[9];
  if (!fingerprint) throw new SigningError(`gpg tells no fingerprint of ${key}`);
  return { fingerprint, armored: await gpg(place, ['--armor', '--export', '--', fingerprint]) };
}

/** A new home for gpg, a folder that is made, which has nothing but these keys. */
export async function homeWith(keys: string | Buffer, home: string): Promise<KeyPlace> {
  await mkdir(home, { mode: 0o700 });
  const file = join(home, 'given');
  await writeFile(file, keys);
  await gpg({ home }, ['--import', '--', file]);
  return { home };
}

/** Verifies a signature, of `signed` where it does not contain what was signed. Throws SigningError where it is not the key's. */
export async function verifySignature(
  { fingerprint }: PublicKey,
  place: KeyPlace,
  signature: string,
  signed?: string,
): Promise<void> {
  const files = signed === undefined ? [signature] : [signature, signed];
  const said = (await gpg(place, ['--status-fd', '1', '--verify', '--', ...files])).split('\n').map((line) => line.split(' '));
  const good = said.some(([, keyword]) => keyword === 'GOODSIG');
  // The last word is the primary key's fingerprint, whichever of its subkeys has signed.
  const signer = said.find(([, keyword]) => keyword === 'VALIDSIG')?.at(-1);
  if (!good || signer !== fingerprint) throw new SigningError(`the signature is not one of the key ${fingerprint}`);
}
