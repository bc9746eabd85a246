import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { keyFile, readIfPresent } from '../../../lib/key-file.ts';

/** A key file that cannot sign ES256. The message names it. */
export class TokenKeyError extends Error {
  override readonly name = 'TokenKeyError';
}

/** What signs registry tokens, and what is accepted, by key id (RFC 7638 thumbprint). */
export interface TokenKeys {
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly accepted: ReadonlyMap<string, KeyObject>;
}

const makePem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

function readPem(pem: string, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new TokenKeyError(`${path} holds no private key in PEM; remove it to have a new one made`, { cause });
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new TokenKeyError(`${path} must hold a P-256 key, as ES256 needs; remove it to have a new one made`);
  }
  return key;
}

const keyId = async (publicKey: KeyObject): Promise<string> => calculateJwkThumbprint(await exportJWK(publicKey));

/**
 * Reads `keys/token.pem` under the data folder, making it on the first start. To rotate: rename it to
 * `keys/token.previous.pem`, whose tokens stay accepted, and start again. Throws TokenKeyError.
 */
export async function loadTokenKeys(dataDir: string): Promise<TokenKeys> {
  const path = join(dataDir, 'keys', 'token.pem');
  const previousPath = join(dataDir, 'keys', 'token.previous.pem');
  const privateKey = readPem(await keyFile(path, makePem), path);
  const previousPem = await readIfPresent(previousPath);
  const previous = previousPem === undefined ? [] : [readPem(previousPem, previousPath)];
  const accepted = new Map<string, KeyObject>();
  for (const key of [privateKey, ...previous]) {
    const publicKey = createPublicKey(key);
    accepted.set(await keyId(publicKey), publicKey);
  }
  const [id] = accepted.keys();
  if (id === undefined) throw new TokenKeyError(`${path} gave no key`);
  return { id, privateKey, accepted };
}
