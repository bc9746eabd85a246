import { Agent, buildConnector, type Dispatcher, ProxyAgent } from 'undici';
import type { NetworkPolicy } from './network-policy.ts';
import { concurrencyOf, type RemoteSettings, type Timeouts } from './remote-settings.ts';

/** Bytes of all header lines of a response. */
export const MAX_HEADER_BYTES = 64 * 1024;
/** Header lines of a response. */
export const MAX_HEADERS = 200;

/** TLS of a remote, in the words of tls.connect; plain, so that a thread can be given it. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: 'TLSv1.2';
}

/** A `ca_cert` takes the place of the system's authorities, as in Pulp. */
export const tlsOptionsOf = (settings: RemoteSettings): TlsOptions => ({
  ...(settings.ca_cert === null ? {} : { ca: settings.ca_cert }),
  ...(settings.client_cert === null ? {} : { cert: settings.client_cert }),
  ...(settings.client_key === null ? {} : { key: settings.client_key }),
  rejectUnauthorized: settings.tls_validation,
  minVersion: 'TLSv1.2',
});

/** HTTP/1.1 with kept connections, as many to one origin as the remote allows; the policy is asked at each new one. */
export function openDispatcher(settings: RemoteSettings, timeouts: Timeouts, policy: NetworkPolicy): Dispatcher {
  const tls = { ...tlsOptionsOf(settings), timeout: timeouts.connect, allowH2: false };
  const common = {
    connections: concurrencyOf(settings),
    pipelining: 1,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
  };
  if (settings.proxy_url !== null) {
    // The proxy resolves names, so only addresses written out in a URL can be checked. Without a tunnel for http: most proxies
    // permit CONNECT to port 443 alone.
    return new ProxyAgent({
      ...common,
      uri: settings.proxy_url,
      ...proxyToken(settings),
      requestTls: tls,
      proxyTls: { timeout: timeouts.connect },
      proxyTunnel: false,
    });
  }
  // One connector a port, as `lookup` is not told the port; each keeps its TLS sessions.
  const connectors = new Map<number, buildConnector.connector>();
  const connect: buildConnector.connector = (options, callback) => {
    const port = Number(options.port) || (options.protocol === 'https:' ? 443 : 80);
    let connector = connectors.get(port);
    if (!connector) {
      connector = buildConnector({ ...tls, lookup: policy.lookup(port) });
      connectors.set(port, connector);
    }
    connector(options, callback);
  };
  return new Agent({ ...common, connect });
}

function proxyToken({ proxy_username: user, proxy_password: password }: RemoteSettings): { token?: string } {
  if (user === null) return {};
  return { token: `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}` };
}
