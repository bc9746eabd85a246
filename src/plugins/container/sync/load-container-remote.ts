import { z } from 'zod';
import { type LoadedRemote, loadRemote, MissingRemoteError, remoteUpstream } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { UpstreamOptions } from '../../../download/upstream.ts';
import type { Services } from '../../../kit/services.ts';
import { openRegistry, type Registry } from '../oci/registry-client.ts';

const patterns = z.array(z.string()).nullable();
const columns = z.object({ upstream_name: z.string(), includes: patterns, excludes: patterns, sigstore: z.string().nullable() });

/** A container remote, whole, its secrets in the clear. */
export type ContainerRemote = LoadedRemote & z.output<typeof columns>;

/** Loads a container remote. Throws MissingRemoteError where it is none. */
export async function loadContainerRemote(services: Pick<Services, 'db' | 'secrets'>, id: string): Promise<ContainerRemote> {
  const remote = await loadRemote(services, id);
  const [row] = await services.db.query(sql`
    select upstream_name, includes, excludes, sigstore from container_remote where id = ${id}::uuid`);
  if (!row) throw new MissingRemoteError(id);
  return { ...remote, ...columns.parse(row) };
}

/** Opens a repository at the server that a remote names. Throws RegistryError where the name is none that a repository can have. */
export const openRepository = (
  remote: LoadedRemote,
  { upstream_name, sigstore }: Pick<ContainerRemote, 'upstream_name' | 'sigstore'>,
  services: Pick<Services, 'config' | 'log'>,
  options: Pick<UpstreamOptions, 'longestWaitMs'> = {},
): Registry =>
  openRegistry(remoteUpstream(remote, services, options), {
    url: remote.url,
    upstreamName: upstream_name,
    sigstore,
    tokenRealms: services.config.DECKLE_TOKEN_REALMS,
  });
