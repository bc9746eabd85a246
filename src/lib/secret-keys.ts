import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { keyFile } from './key-file.ts';

const KEY_BYTES = 32;
/** 32 bytes in base64, exactly: Buffer.from would pass over a character that is mistyped. */
const BASE64_KEY = /^[A-Za-z0-9+/]{43}=$/;
const NEW_KEY_ADVICE = 'make one with `openssl rand -base64 32`';

/** The keys cannot be used. The message says which and what to do, and never what the key is. */
export class SecretKeysError extends Error {
  override readonly name = 'SecretKeysError';
}

export interface SecretKeysSource {
  /** Where the keys are kept when `given` is absent: base64, one a line, newest first. Created with one key if missing. */
  readonly file: string;
  /** The setting DECKLE_SECRET_KEYS, already split at its commas; newest first. */
  readonly given?: readonly string[] | undefined;
}

/** The keys for secretBox, newest first. Throws SecretKeysError, or the file system's error. */
export async function loadSecretKeys({ file, given }: SecretKeysSource): Promise<readonly [Buffer, ...Buffer[]]> {
  if (given) return parseKeys(given, (position) => `key ${position} of DECKLE_SECRET_KEYS`, 'DECKLE_SECRET_KEYS');
  const text = await keyFile(file, () => `${randomBytes(KEY_BYTES).toString('base64')}\n`);
  await checkPrivate(file);
  const lines = text.split('\n').map((line) => line.trim());
  return parseKeys(
    lines.filter((line) => line !== ''),
    (position) => `key ${position} in ${file}`,
    `the key file ${file}`,
  );
}

function parseKeys(
  texts: readonly string[],
  nameOf: (position: number) => string,
  source: string,
): readonly [Buffer, ...Buffer[]] {
  const [first, ...rest] = texts.map((text, index) => {
    if (!BASE64_KEY.test(text)) {
      throw new SecretKeysError(
        `${nameOf(index + 1)} is not ${KEY_BYTES} bytes in base64 (44 characters, it has ${text.length}); correct it, or ${NEW_KEY_ADVICE}`,
      );
    }
    return Buffer.from(text, 'base64');
  });
  if (!first) {
    throw new SecretKeysError(
      `${source} holds no key. If secrets were stored before, restore the keys from a backup; else ${NEW_KEY_ADVICE}`,
    );
  }
  return [first, ...rest];
}

/** Throws if others could read the file. */
async function checkPrivate(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & 0o077) === 0) return;
  throw new SecretKeysError(`the key file ${file} can be read by other users; run \`chmod 600 ${file}\``);
}
