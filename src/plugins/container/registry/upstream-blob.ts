import { loadRemote, remoteUpstream, UpstreamClients } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { FetchFrom } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { type BlobDescriptor, openRegistry, type Registry } from '../oci/registry-client.ts';

type UpstreamServices = Pick<Services, 'db' | 'secrets' | 'config' | 'log'>;

/** Fetches blobs from the remotes' registries. */
export class UpstreamBlobs {
  readonly #clients: UpstreamClients<Registry>;

  constructor(services: UpstreamServices) {
    this.#clients = new UpstreamClients((remoteId) => openRemote(services, remoteId), services.log);
  }

  /** How OnDemandArtifacts gets this blob. */
  fetcher(blob: BlobDescriptor): FetchFrom {
    return (remoteId, signal) => this.#clients.stream(remoteId, (registry) => registry.streamBlob(blob, signal));
  }

  close(): Promise<void> {
    return this.#clients.close();
  }
}

async function openRemote(services: UpstreamServices, remoteId: string): Promise<Registry> {
  const remote = await loadRemote(services, remoteId);
  const [detail] = await services.db.query<{ upstream_name: string; sigstore: string | null }>(
    sql`select upstream_name, sigstore from container_remote where id = ${remoteId}::uuid`,
  );
  if (!detail) throw new Error(`remote ${remoteId} is no container remote`);
  return openRegistry(remoteUpstream(remote, services), {
    url: remote.url,
    upstreamName: detail.upstream_name,
    sigstore: detail.sigstore,
    tokenRealms: services.config.DECKLE_TOKEN_REALMS,
  });
}
