import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** Encrypts the secrets of rows at rest: AES-256-GCM, bound to the place (`table:column:row id`) they are stored in. */
export interface SecretBox {
  seal(plaintext: string, place: string): string;
  /** Throws SecretError for an unknown key, a foreign place or damage. */
  open(sealed: string, place: string): string;
  /** Whether it has the key that the text was sealed with. */
  knows(sealed: string): boolean;
}

export class SecretError extends Error {
  override readonly name = 'SecretError';
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const keyId = (key: Buffer): string => createHash('sha256').update(key).digest('hex').slice(0, 8);

/** `keys`: 32 bytes each; the first encrypts, all decrypt, which is how a key is rotated. */
export function secretBox(keys: readonly [Buffer, ...Buffer[]]): SecretBox {
  const byId = new Map(keys.map((key) => [keyId(key), key]));
  const [newest] = keys;
  const newestId = keyId(newest);
  return {
    knows: (sealed) => byId.has(sealed.split(':')[1] ?? ''),
    seal(plaintext, place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', newest, nonce).setAAD(Buffer.from(place));
      const body = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
      return `v1:${newestId}:${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')}`;
    },
    open(sealed, place) {
      const [version, id = '', text = ''] = sealed.split(':');
      const key = byId.get(id);
      if (version !== 'v1' || !key)
        throw new SecretError(`no key ${id} to read the secret at ${place}; is its key file missing?`);
      const bytes = Buffer.from(text, 'base64');
      const [nonce, tag] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)];
      try {
        // Told the length, Node refuses a shortened tag, which would be easier to forge.
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(place)).setAuthTag(tag);
        return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch (cause) {
        throw new SecretError(`the secret at ${place} is damaged or belongs elsewhere`, { cause });
      }
    },
  };
}
