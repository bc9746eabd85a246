import { sql } from '../../db/sql.ts';
import type { RemoteSettings } from '../../download/remote-settings.ts';
import type { Services } from '../../kit/services.ts';
import { REMOTE_SECRETS } from './remote-fields.ts';

export type DownloadPolicy = 'immediate' | 'on_demand' | 'streamed';

/** A remote's row with its secrets in the clear: for the download room, never for a log, an error or a response. */
export interface LoadedRemote extends RemoteSettings {
  readonly id: string;
  readonly domain_id: string;
  readonly pulp_type: string;
  readonly name: string;
  readonly policy: DownloadPolicy;
}

export class MissingRemoteError extends Error {
  override readonly name = 'MissingRemoteError';
  constructor(id: string) {
    super(`remote ${id} does not exist any more`);
  }
}

/** Loads a remote and decrypts its secrets. Throws MissingRemoteError, or SecretError where a key is missing. */
export async function loadRemote(services: Pick<Services, 'db' | 'secrets'>, id: string): Promise<LoadedRemote> {
  const [row] = await services.db.query<LoadedRemote>(sql`
    select id, domain_id, pulp_type, name, url, policy, ca_cert, client_cert, client_key, tls_validation, proxy_url, proxy_username,
      proxy_password, username, password, download_concurrency, max_retries, total_timeout, connect_timeout, sock_connect_timeout,
      sock_read_timeout, headers, rate_limit
    from remote where id = ${id}::uuid`);
  if (!row) throw new MissingRemoteError(id);
  const opened = REMOTE_SECRETS.map((column) => {
    const sealed = row[column];
    return [column, sealed === null ? null : services.secrets.open(sealed, `remote:${column}:${id}`)] as const;
  });
  return { ...row, ...Object.fromEntries(opened) };
}
