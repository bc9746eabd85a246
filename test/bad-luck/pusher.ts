import assert from 'node:assert/strict';
import type { ImageContent } from '../../src/demo/image.ts';
import { bytesOf, digestOf } from '../container/push-rig.ts';

const AUTHORIZATION = `Basic ${btoa('admin:password')}`;

type Body = NonNullable<RequestInit['body']>;

/** A client that pushes to a Deckle where tokens are switched off, and takes an answer as it comes. */
export class Pusher {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  ask(method: string, path: string, body?: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(path.startsWith('/') ? `${this.#url}${path}` : `${this.#url}/v2/${path}`, {
      method,
      headers: { authorization: AUTHORIZATION, ...headers },
      signal: AbortSignal.timeout(120_000),
      ...(body ? { body: body as Body } : {}),
    });
  }

  /** Pushes as podman does: POST, PATCH, PUT. Answers the first status that is none of success. */
  async blob(name: string, bytes: Uint8Array): Promise<number> {
    const begun = await this.ask('POST', `${name}/blobs/uploads/`);
    if (begun.status !== 202) return begun.status;
    const patched = await this.ask('PATCH', begun.headers.get('location') as string, bytes);
    if (patched.status !== 202) return patched.status;
    return (await this.ask('PUT', `${patched.headers.get('location')}?digest=${digestOf(bytes)}`)).status;
  }

  manifest(name: string, reference: string, { bytes, mediaType }: ImageContent): Promise<Response> {
    return this.ask('PUT', `${name}/manifests/${reference}`, bytes, { 'content-type': mediaType });
  }

  /** Pushes all of an image. Answers 201, or the first other status. */
  async image(name: string, tag: string, image: ImageContent): Promise<number> {
    for (const blob of image.blobs) {
      const status = await this.blob(name, bytesOf(blob));
      if (status !== 201) return status;
    }
    return (await this.manifest(name, tag, image)).status;
  }

  /** What is served under the tag, whole, each byte by its digest; undefined where nothing is. */
  async pull(name: string, tag: string): Promise<string | undefined> {
    const response = await this.ask('GET', `${name}/manifests/${tag}`);
    if (response.status === 404) return undefined;
    assert.equal(response.status, 200);
    const bytes = Buffer.from(await response.arrayBuffer());
    const digest = response.headers.get('docker-content-digest') as string;
    assert.equal(digestOf(bytes), digest);
    const { config, layers } = JSON.parse(bytes.toString()) as { config: { digest: string }; layers: { digest: string }[] };
    for (const blob of [config, ...layers]) assert.equal(await this.servedBlob(name, blob.digest), blob.digest);
    return digest;
  }

  /** The digest of the bytes that are served as the blob; undefined where there are none. */
  async servedBlob(name: string, digest: string): Promise<string | undefined> {
    const response = await this.ask('GET', `${name}/blobs/${digest}`);
    if (response.status === 404) return undefined;
    assert.equal(response.status, 200, digest);
    return digestOf(Buffer.from(await response.arrayBuffer()));
  }
}
