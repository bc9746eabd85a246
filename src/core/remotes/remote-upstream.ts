import type { RemoteSettings } from '../../download/remote-settings.ts';
import { openUpstream, type Upstream, type UpstreamOptions } from '../../download/upstream.ts';
import type { Services } from '../../kit/services.ts';

/** Opens the server that a remote names, under this installation's settings. Throws ZodError where the remote's `headers` are not a list of objects. */
export const remoteUpstream = (
  remote: RemoteSettings,
  { config, log }: Pick<Services, 'config' | 'log'>,
  options: Pick<UpstreamOptions, 'longestWaitMs'> = {},
): Upstream =>
  openUpstream(remote, {
    ...options,
    log,
    allowedNetworks: config.DECKLE_ALLOWED_REMOTE_NETWORKS,
    ownAddresses: [{ address: config.HOST, port: config.PORT }],
    threads: config.DECKLE_DOWNLOAD_THREADS,
  });
