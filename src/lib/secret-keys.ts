import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

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
  let text = await readPrivate(file);
  if (text === undefined) {
    await createKeyFile(file);
    text = await readPrivate(file);
  }
  if (text === undefined) throw new SecretKeysError(`the key file ${file} vanished while it was being read; start again`);
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

/** The file's text, or undefined if there is none. Others must not be able to read it. */
async function readPrivate(file: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) {
      throw new SecretKeysError(`the key file ${file} can be read by other users; run \`chmod 600 ${file}\``);
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes a new key beside the file and links it there: of two processes that start at once, one wins and both read its key. */
async function createKeyFile(file: string): Promise<void> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(8).toString('hex')}`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(`${randomBytes(KEY_BYTES).toString('base64')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  // The key must outlive a power cut that the first sealed secret outlives.
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
