import { type FetchFrom, loadRemote } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { openUpstream, type UpstreamStream } from '../../../download/upstream.ts';
import type { Services } from '../../../kit/services.ts';
import { openRegistry, type Registry } from '../oci/registry-client.ts';
import type { KnownBlob } from './blob.ts';

interface Client {
  readonly registry: Promise<Registry>;
  users: number;
}

/** Fetches blobs from the remotes' registries. Fetches that run at once share connections and upstream token. */
export class UpstreamBlobs {
  readonly #services: Pick<Services, 'db' | 'secrets' | 'config' | 'log'>;
  readonly #clients = new Map<string, Client>();

  constructor(services: Pick<Services, 'db' | 'secrets' | 'config' | 'log'>) {
    this.#services = services;
  }

  /** How OnDemandArtifacts gets this blob. */
  fetcher({ digest, size }: KnownBlob): FetchFrom {
    return async (remoteId, signal): Promise<UpstreamStream> => {
      const client = this.#take(remoteId);
      try {
        const registry = await client.registry;
        const stream = await registry.streamBlob({ digest, size: size ?? undefined }, signal);
        stream.body.once('close', () => this.#release(remoteId, client));
        return stream;
      } catch (error) {
        this.#release(remoteId, client);
        throw error;
      }
    };
  }

  async close(): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    await Promise.allSettled(clients.map(async (client) => (await client.registry).close()));
  }

  #take(remoteId: string): Client {
    const known = this.#clients.get(remoteId);
    const client = known ?? { registry: this.#open(remoteId), users: 0 };
    client.users += 1;
    this.#clients.set(remoteId, client);
    return client;
  }

  /** The last one closes it: the next fetch sees the remote as it is then. */
  #release(remoteId: string, client: Client): void {
    client.users -= 1;
    if (client.users > 0 || this.#clients.get(remoteId) !== client) return;
    this.#clients.delete(remoteId);
    client.registry
      .then((registry) => registry.close())
      .catch((error: unknown) => this.#services.log.debug({ err: error, remote_id: remoteId }, 'upstream not closed'));
  }

  async #open(remoteId: string): Promise<Registry> {
    const { db, config, log } = this.#services;
    const remote = await loadRemote(this.#services, remoteId);
    const [detail] = await db.query<{ upstream_name: string; sigstore: string | null }>(
      sql`select upstream_name, sigstore from container_remote where id = ${remoteId}::uuid`,
    );
    if (!detail) throw new Error(`remote ${remoteId} is no container remote`);
    const upstream = openUpstream(remote, {
      log,
      allowedNetworks: config.DECKLE_ALLOWED_REMOTE_NETWORKS,
      ownAddresses: [{ address: config.HOST, port: config.PORT }],
      threads: config.DECKLE_DOWNLOAD_THREADS,
    });
    return openRegistry(upstream, {
      url: remote.url,
      upstreamName: detail.upstream_name,
      sigstore: detail.sigstore,
      tokenRealms: config.DECKLE_TOKEN_REALMS,
    });
  }
}
