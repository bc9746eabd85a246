import { UpstreamClients } from '../../../core/plugin-api.ts';
import type { FetchFrom } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import type { BlobDescriptor, Registry } from '../oci/registry-client.ts';
import { loadContainerRemote, openRepository } from '../sync/load-container-remote.ts';

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
  const remote = await loadContainerRemote(services, remoteId);
  return openRepository(remote, remote, services);
}
