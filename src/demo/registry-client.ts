import { createHash } from 'node:crypto';
import { z } from 'zod';

const descriptor = z.object({ digest: z.string(), size: z.number() });
const indexShape = z.object({
  manifests: z.array(descriptor.extend({ platform: z.object({ os: z.string(), architecture: z.string() }) })),
});
const manifestShape = z.object({ config: descriptor, layers: z.array(descriptor) });
const tokenShape = z.object({ token: z.string() });
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** What a pull brought. */
export interface Pulled {
  /** Digest of the index or manifest that the tag named. */
  readonly digest: string;
  readonly platform: string;
  readonly blobs: number;
  readonly bytes: number;
}

/** Bytes whose digest is another than the one they were asked for by. */
export class DigestMismatch extends Error {
  override readonly name = 'DigestMismatch';
}

/** A client of the Registry API that asks for a token where one is demanded, and checks every digest. */
export class RegistryClient {
  readonly #origin: string;
  readonly #repository: string;
  #token: string | null = null;

  constructor(origin: string, repository: string) {
    this.#origin = origin;
    this.#repository = repository;
  }

  /** Pulls what a tag of an index names for one platform, by tag and then by digest, as container engines do. */
  async pull(tag: string, os: string, architecture: string): Promise<Pulled> {
    const index = await this.#get(`manifests/${tag}`);
    const digest = digestOf(index);
    const entry = indexShape
      .parse(JSON.parse(index.toString()))
      .manifests.find(({ platform }) => platform.os === os && platform.architecture === architecture);
    if (entry === undefined) throw new Error(`${this.#repository}:${tag} has no image for ${os}/${architecture}`);
    const manifest = manifestShape.parse(JSON.parse((await this.#verified('manifests', entry.digest)).toString()));
    const blobs = [manifest.config, ...manifest.layers];
    let bytes = 0;
    for (const blob of blobs) bytes += (await this.#verified('blobs', blob.digest)).length;
    return { digest, platform: `${os}/${architecture}`, blobs: blobs.length, bytes };
  }

  /** Digest under which a tag is served now. */
  async digest(tag: string): Promise<string> {
    return digestOf(await this.#get(`manifests/${tag}`));
  }

  async #verified(kind: 'manifests' | 'blobs', digest: string): Promise<Buffer> {
    const bytes = await this.#get(`${kind}/${digest}`);
    if (digestOf(bytes) !== digest)
      throw new DigestMismatch(`${kind}/${digest} of ${this.#repository} came as ${digestOf(bytes)}`);
    return bytes;
  }

  async #get(path: string): Promise<Buffer> {
    const url = `${this.#origin}/v2/${this.#repository}/${path}`;
    let response = await this.#fetch(url);
    if (response.status === 401) {
      this.#token = await tokenFor(response);
      response = await this.#fetch(url);
    }
    if (!response.ok)
      throw new Error(`GET ${url} was answered with ${response.status}: ${(await response.text()).slice(0, 300)}`);
    return Buffer.from(await response.arrayBuffer());
  }

  #fetch(url: string): Promise<Response> {
    return fetch(url, {
      headers: { accept: ACCEPT, ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }) },
    });
  }
}

/** Asks the realm of a Bearer challenge for an anonymous token. */
async function tokenFor(refused: Response): Promise<string> {
  const challenge = refused.headers.get('www-authenticate') ?? 'none';
  const parameters = new Map([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
  const realm = parameters.get('realm');
  if (realm === undefined) throw new Error(`The registry asks for something else than a token: ${challenge}`);
  const url = new URL(realm);
  for (const name of ['service', 'scope']) url.searchParams.set(name, parameters.get(name) ?? '');
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The token server ${url.origin} answered with ${response.status}`);
  return tokenShape.parse(await response.json()).token;
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
