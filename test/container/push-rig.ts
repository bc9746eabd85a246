import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Database } from '../../src/db/database.ts';
import { sql } from '../../src/db/sql.ts';
import type { ImageContent } from '../../src/demo/image.ts';
import type { BlobContent } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { ADMIN, basicHeader, type RegistryServer } from './registry-world.ts';

export const digestOf = (bytes: Uint8Array, algorithm = 'sha256'): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

type Body = NonNullable<RequestInit['body']>;

/** Where a registry answers, and its name. */
export type RegistryAddress = Pick<RegistryServer, 'origin' | 'host'>;

export interface Asking {
  readonly body?: Body;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The bytes of a made-up blob. */
export function bytesOf(blob: BlobContent): Buffer {
  const bytes = Buffer.alloc(blob.size);
  for (let at = 0; at < blob.size; ) at += blob.copy(at, bytes.subarray(at));
  return bytes;
}

/** A client of the Registry API that says what it wants, byte by byte, with the token that it takes. */
export class RegistryUser {
  readonly #server: RegistryAddress;
  readonly #user: Credentials | null;
  readonly #tokens = new Map<string, string>();

  /** null: nobody. */
  constructor(server: RegistryAddress, user: Credentials | null = ADMIN) {
    this.#server = server;
    this.#user = user;
  }

  async token(scope: string): Promise<string> {
    const known = this.#tokens.get(scope);
    if (known) return known;
    const query = new URLSearchParams({ service: this.#server.host, scope });
    const headers = this.#user ? { authorization: basicHeader(this.#user) } : undefined;
    const response = await fetch(`${this.#server.origin}/token/?${query}`, headers ? { headers } : {});
    assert.equal(response.status, 200);
    const { token } = (await response.json()) as { token: string };
    this.#tokens.set(scope, token);
    return token;
  }

  /** A request below `/v2/<name>/`, or to the path that a Location names. */
  async ask(method: string, name: string, path: string, asking: Asking = {}): Promise<Response> {
    const token = await this.token(`repository:${name}:pull,push,delete`);
    const url = path.startsWith('/') ? path : `/v2/${name}/${path}`;
    return fetch(`${this.#server.origin}${url}`, {
      method,
      redirect: 'manual',
      headers: { authorization: `Bearer ${token}`, ...asking.headers },
      ...(asking.body === undefined ? {} : { body: asking.body, duplex: 'half' }),
    } as RequestInit);
  }

  /** A request of which the head alone is sent. */
  async announce(
    method: string,
    name: string,
    path: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ status: number | undefined; code: string }> {
    const authorization = `Bearer ${await this.token(`repository:${name}:pull,push,delete`)}`;
    const outgoing = request(`${this.#server.origin}${path}`, {
      method,
      headers: { authorization, ...headers },
      timeout: 10_000,
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer')));
    outgoing.flushHeaders();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const text = Buffer.concat(await response.toArray()).toString();
    outgoing.destroy();
    return { status: response.statusCode, code: (JSON.parse(text) as ErrorBody).errors[0]?.code ?? '' };
  }

  /** Begins an upload; answers its path. */
  async begin(name: string, query = ''): Promise<string> {
    const response = await this.ask('POST', name, `blobs/uploads/${query}`);
    assert.equal(response.status, 202);
    return response.headers.get('location') as string;
  }

  /** Pushes a blob in one request; answers its digest. */
  async blob(name: string, bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    const response = await this.ask('POST', name, `blobs/uploads/?digest=${digest}`, { body: bytes as Body });
    assert.equal(response.status, 201, await response.text());
    return digest;
  }

  manifest(name: string, reference: string, { bytes, mediaType }: ImageContent): Promise<Response> {
    return this.ask('PUT', name, `manifests/${reference}`, { body: bytes as Body, headers: { 'content-type': mediaType } });
  }

  /** Pushes an image with all that belongs to it: what an index lists by digest, then itself under the tag. */
  async image(name: string, tag: string, image: ImageContent): Promise<void> {
    for (const child of image.children) await this.image(name, child.digest, child);
    for (const blob of image.blobs) await this.blob(name, bytesOf(blob));
    const response = await this.manifest(name, tag, image);
    assert.equal(response.status, 201, await response.text());
  }
}

interface ErrorBody {
  readonly errors: readonly { readonly code: string }[];
}

/** Code of the only error of an answer of the Registry API. */
export async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as ErrorBody;
  assert.equal(body.errors.length, 1);
  return body.errors[0]?.code as string;
}

/** The answer is this error, and no other. */
export async function assertRefused(response: Response, status: number, code: string, what?: string): Promise<void> {
  assert.equal(response.status, status, what);
  assert.equal(await codeOf(response), code, what);
}

/** Resolves when a statement that has this text waits for a lock. */
export const blocked = (db: Database, text: string): Promise<unknown> =>
  eventually(`${text} waits`, async () => {
    const waiting = await db.query(sql`
      select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and strpos(query, ${text}) > 0`);
    return waiting.length > 0;
  });

/** Numbers of the versions of the repository of a name; undefined where there is none. */
export async function versionsOf(
  { services: { db } }: Pick<RegistryServer, 'services'>,
  name: string,
): Promise<number[] | undefined> {
  const [repository] = await db.query<{ id: string }>(sql`select id from repository where name = ${name}`);
  if (!repository) return undefined;
  const rows = await db.query<{ number: number }>(sql`
    select number from repository_version where repository_id = ${repository.id}::uuid order by number`);
  return rows.map(({ number }) => number);
}
