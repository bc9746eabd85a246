import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { RemoteSettings } from '../../src/download/remote-settings.ts';
import { type DownloadTarget, openUpstream, type Upstream, type UpstreamOptions } from '../../src/download/upstream.ts';
import { type Digest, digestOf } from '../../src/lib/digest.ts';

/** A remote's settings as its row has them when nothing but the URL was given. */
export const settingsOf = (url: string, given: Partial<RemoteSettings> = {}): RemoteSettings => ({
  url,
  ca_cert: null,
  client_cert: null,
  client_key: null,
  tls_validation: true,
  proxy_url: null,
  proxy_username: null,
  proxy_password: null,
  username: null,
  password: null,
  download_concurrency: null,
  max_retries: null,
  total_timeout: null,
  connect_timeout: null,
  sock_connect_timeout: null,
  sock_read_timeout: null,
  headers: null,
  rate_limit: null,
  ...given,
});

/** An upstream that is closed with the test; without retries unless they are given. */
export function openFor(
  t: TestContext,
  url: string,
  given: Partial<RemoteSettings> = {},
  options: Partial<UpstreamOptions> = {},
): Upstream {
  const upstream = openUpstream(settingsOf(url, { max_retries: 0, ...given }), {
    log: pino({ level: 'silent' }),
    allowedNetworks: [],
    ownAddresses: [],
    threads: 2,
    ...options,
  });
  t.after(() => upstream.close());
  return upstream;
}

/** An HTTP server of the test's own, for what no registry does. Its URL has no slash at the end. */
export async function serve(t: TestContext, listener: RequestListener, host = '127.0.0.1'): Promise<string> {
  const server = createServer(listener).listen(0, host);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://${host}:${(server.address() as AddressInfo).port}`;
}

export async function temporaryFolder(t: TestContext, parent = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'download-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** A target with a local path, which a thread writes. */
export const targetAt = (path: string): DownloadTarget => ({
  path,
  write: () => Promise.reject(new Error('a target with a path is not written to')),
});

/** A target without a path, as an object store has it. */
export function targetInMemory(): DownloadTarget & { readonly bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  return {
    path: undefined,
    write: async (chunk) => {
      chunks.push(Buffer.from(chunk));
    },
    bytes: () => Buffer.concat(chunks),
  };
}

/** Bytes that follow from the seed, with their digest. */
export function bytesOf(seed: string, size: number): { body: Buffer; digest: Digest } {
  const block = createHash('sha512').update(seed).digest();
  const body = Buffer.alloc(size);
  for (let at = 0; at < size; at += 64) block.copy(body, at);
  body.writeUInt32LE(size % 2 ** 32, 0);
  return { body, digest: digestOf(body) };
}
