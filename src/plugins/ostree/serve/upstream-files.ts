import { loadRemote, remoteUpstream, UpstreamClients } from '../../../core/plugin-api.ts';
import type { Upstream } from '../../../download/upstream.ts';
import type { FetchFrom } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { Checksum } from '../format/checksum.ts';
import { basicAuthorization, fileUrl, filezCheck } from '../format/ostree-client.ts';

/** What bytes have to be: those of this digest, or a filez of the file object with this checksum. */
export type Proof = { readonly digest: Digest } | { readonly filez: Checksum };

/** Fetches files from the remotes' repositories, as they are asked for. */
export class UpstreamFiles {
  readonly #clients: UpstreamClients<Upstream>;

  constructor(services: Pick<Services, 'db' | 'secrets' | 'config' | 'log'>) {
    const open = async (remoteId: string) => remoteUpstream(await loadRemote(services, remoteId), services);
    this.#clients = new UpstreamClients(open, services.log);
  }

  /** How OnDemandArtifacts gets the file at `path`. `size` in bytes; null where nobody has said. */
  fetcher(path: string, proof: Proof, size: number | null): FetchFrom {
    return (remoteId, signal) =>
      this.#clients.stream(remoteId, (upstream) => {
        const url = fileUrl(upstream.url, path);
        const request = { url, headers: basicAuthorization(upstream), size: size ?? undefined, signal };
        return upstream.stream(
          'digest' in proof ? { ...request, digest: proof.digest } : { ...request, check: filezCheck(proof.filez, url) },
        );
      });
  }

  close(): Promise<void> {
    return this.#clients.close();
  }
}
