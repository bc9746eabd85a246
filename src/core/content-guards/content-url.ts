import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { Services } from '../../kit/services.ts';
import { keyFile } from '../../lib/key-file.ts';

const KEY_BYTES = 32;
const VALID_SECONDS = 3600;
const TOKEN = /^([0-9a-f]{64}):([0-9a-f]{64})$/;

/**
 * Signed URLs of the content app, which need no other authentication: `?expires=<unix seconds>&validate_token=<salt>:<hmac>`,
 * as Pulp's content redirect guard makes them. Good for one path and one hour.
 */
export class ContentUrls {
  readonly #key: Buffer;
  readonly #origin: string;
  readonly #clock: () => Date;

  private constructor(key: Buffer, services: Pick<Services, 'config' | 'clock'>) {
    this.#key = key;
    this.#origin = services.config.PULP_CONTENT_ORIGIN;
    this.#clock = services.clock;
  }

  /** Reads `keys/content-url.key` under the data folder, making it on the first start. */
  static async load(services: Pick<Services, 'config' | 'clock'>): Promise<ContentUrls> {
    const path = join(services.config.DATA_DIR, 'keys', 'content-url.key');
    const text = await keyFile(path, () => randomBytes(KEY_BYTES).toString('hex'));
    const key = Buffer.from(text.trim(), 'hex');
    if (key.byteLength !== KEY_BYTES)
      throw new Error(`${path} does not hold ${KEY_BYTES} bytes in hexadecimal; remove it to have a new one made`);
    return new ContentUrls(key, services);
  }

  /** The absolute URL for `path`, which begins with `/pulp/container/`, signed. */
  sign(path: string): string {
    const expires = String(Math.floor(this.#clock().getTime() / 1000) + VALID_SECONDS);
    const salt = randomBytes(KEY_BYTES).toString('hex');
    return `${this.#origin}${path}?expires=${expires}&validate_token=${salt}:${this.#mac(path, expires, salt).toString('hex')}`;
  }

  /** Whether the query of a request for `path` carries a signature that is right; one that is too old is not looked at. */
  verify(path: string, query: URLSearchParams): 'valid' | 'expired' | 'wrong' {
    const expires = query.get('expires');
    const [, salt, mac] = TOKEN.exec(query.get('validate_token') ?? '') ?? [];
    if (expires === null || !/^\d{1,12}$/.test(expires)) return 'wrong';
    if (Number(expires) * 1000 <= this.#clock().getTime()) return 'expired';
    if (salt === undefined || mac === undefined) return 'wrong';
    return timingSafeEqual(Buffer.from(mac, 'hex'), this.#mac(path, expires, salt)) ? 'valid' : 'wrong';
  }

  #mac(path: string, expires: string, salt: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([salt, path, expires]))
      .digest();
  }
}
