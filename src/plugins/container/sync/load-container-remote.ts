import { z } from 'zod';
import { type LoadedRemote, loadRemote, MissingRemoteError } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';

const patterns = z.array(z.string()).nullable();
const columns = z.object({ upstream_name: z.string(), includes: patterns, excludes: patterns, sigstore: z.string().nullable() });

/** A container remote, whole, its secrets in the clear. */
export type ContainerRemote = LoadedRemote & z.output<typeof columns>;

/** Loads a container remote. Throws MissingRemoteError where it is none. */
export async function loadContainerRemote(services: Services, id: string): Promise<ContainerRemote> {
  const remote = await loadRemote(services, id);
  const [row] = await services.db.query(sql`
    select upstream_name, includes, excludes, sigstore from container_remote where id = ${id}::uuid`);
  if (!row) throw new MissingRemoteError(id);
  return { ...remote, ...columns.parse(row) };
}
