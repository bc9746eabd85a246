import { loadRemote, remoteUpstream, UpstreamClients } from '../../../core/plugin-api.ts';
import type { Upstream, UpstreamStream } from '../../../download/upstream.ts';
import { publicUrl, UpstreamError } from '../../../download/upstream-error.ts';
import type { FetchFrom } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { StreamCheck } from '../../../lib/verified-stream.ts';
import type { Checksum } from '../format/checksum.ts';
import { filezVerifier } from '../format/filez.ts';
import { FormatError } from '../format/format-error.ts';

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
      this.#clients.stream(remoteId, (upstream) => streamFile(upstream, path, proof, { size: size ?? undefined, signal }));
  }

  close(): Promise<void> {
    return this.#clients.close();
  }
}

function streamFile(
  upstream: Upstream,
  path: string,
  proof: Proof,
  asked: { readonly size: number | undefined; readonly signal: AbortSignal },
): Promise<UpstreamStream> {
  const url = `${upstream.url.href.replace(/\/+$/, '')}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const { credentials } = upstream;
  const headers = credentials && { authorization: basic(credentials.username, credentials.password) };
  const request = { ...asked, url, headers };
  return upstream.stream(
    'digest' in proof ? { ...request, digest: proof.digest } : { ...request, check: filezCheck(proof.filez, url) },
  );
}

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** Checks a filez; what is wrong with it is the upstream's fault. */
function filezCheck(checksum: Checksum, url: string): StreamCheck<void> {
  const verifier = filezVerifier(checksum);
  const blame = (error: unknown): never => {
    if (!(error instanceof FormatError)) throw error;
    throw new UpstreamError('checksum', publicUrl(url), `${error.message}, at ${publicUrl(url)}`, { cause: error });
  };
  return {
    update: (chunk) => verifier.update(chunk).catch(blame),
    finish: () => verifier.finish().catch(blame),
    destroy: () => verifier.destroy(),
  };
}
