import assert from 'node:assert/strict';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type RegistryClient, registryClient } from '../support/registry-client.ts';
import { digestOf } from './push-rig.ts';

export const USER = 'admin';
export const PASSWORD = 'password';

const layersOf = (seed: string) => [
  layerOf({ 'etc/motd': seed }),
  largeLayer(seed, 2 * 1024 * 1024),
  layerOf({ 'srv/name': seed }),
];

/** An OCI image of three layers that no other seed's image shares. */
export const layeredImage = (seed: string) => imageOf({ layers: layersOf(seed) });

/** An index of two such images. */
export const twoPlatforms = (seed: string) =>
  multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({ layers: layersOf(`${seed} ${architecture}`) }));

/** A whole Deckle, as clients see it, and what it has been given, as its own APIs tell. */
export interface ClientWorld {
  readonly app: TestApp;
  /** `host:port`, without TLS. */
  readonly host: string;
  /** A client with a home and a folder of its own, which goes with the world. */
  client(env?: Readonly<Record<string, string>>): Promise<RegistryClient>;
  /** The bytes of a manifest; undefined where there is none. */
  manifest(name: string, reference: string): Promise<Buffer | undefined>;
  /** Digest of a manifest as the registry names it, which its bytes have; undefined where there is none. */
  digest(name: string, reference: string): Promise<string | undefined>;
  tags(name: string): Promise<string[]>;
  /** Digests and artifact types of what refers to the manifest. */
  referrers(name: string, digest: string): Promise<{ digest: string; artifactType: string }[]>;
  /** Number of the latest version of the repository that pushes under the name have made. */
  latestVersion(name: string): Promise<number>;
  stop(): Promise<void>;
}

/** Starts it. `tokens: false` switches token authentication off: clients send their password with each request. */
export async function startClientWorld({ tokens = true } = {}): Promise<ClientWorld> {
  const app = await startApp(tokens ? {} : { env: { PULP_TOKEN_AUTH_DISABLED: 'true' } });
  const clients: RegistryClient[] = [];
  const service = `localhost:${app.host.split(':')[1]}`;
  const authorizationFor = async (name: string): Promise<string> => {
    if (!tokens) return `Basic ${btoa(`${USER}:${PASSWORD}`)}`;
    const query = new URLSearchParams({ service, scope: `repository:${name}:pull` });
    const { status, body } = await app.request('GET', `/token/?${query}`);
    assert.equal(status, 200);
    return `Bearer ${body.token}`;
  };
  const get = async (name: string, path: string): Promise<Response> =>
    fetch(`${app.url}/v2/${name}/${path}`, { headers: { authorization: await authorizationFor(name) } });
  const read = async (name: string, reference: string): Promise<{ bytes: Buffer; digest: string } | undefined> => {
    const response = await get(name, `manifests/${reference}`);
    if (response.status === 404) return undefined;
    assert.equal(response.status, 200, await response.clone().text());
    const bytes = Buffer.from(await response.arrayBuffer());
    const digest = String(response.headers.get('docker-content-digest'));
    assert.equal(digestOf(bytes, digest.split(':')[0]), digest);
    return { bytes, digest };
  };
  return {
    app,
    host: app.host,
    manifest: async (name, reference) => (await read(name, reference))?.bytes,
    digest: async (name, reference) => (await read(name, reference))?.digest,
    async client(env) {
      const made = await registryClient(env);
      clients.push(made);
      return made;
    },
    async tags(name) {
      const response = await get(name, 'tags/list');
      assert.equal(response.status, 200);
      return ((await response.json()) as { tags: string[] }).tags;
    },
    async referrers(name, digest) {
      const response = await get(name, `referrers/${digest}`);
      assert.equal(response.status, 200);
      return ((await response.json()) as { manifests: { digest: string; artifactType: string }[] }).manifests;
    },
    async latestVersion(name) {
      const { body } = await app.request('GET', `/pulp/api/v3/repositories/?name=${encodeURIComponent(name)}`);
      assert.equal(body.count, 1);
      return Number(/versions\/(\d+)\/$/.exec(body.results[0].latest_version_href)?.[1]);
    },
    async stop() {
      await app.stop();
      for (const client of clients) await client.remove();
    },
  };
}
