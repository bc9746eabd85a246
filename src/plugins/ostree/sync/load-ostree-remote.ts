import { z } from 'zod';
import { type LoadedRemote, loadRemote, MissingRemoteError } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';

const patterns = z.array(z.string()).nullable();
const columns = z.object({ depth: z.int().min(0), include_refs: patterns, exclude_refs: patterns });

/** An OSTree remote, whole, its secrets in the clear. */
export type OstreeRemote = LoadedRemote & z.output<typeof columns>;

/** Loads an OSTree remote. Throws MissingRemoteError where it is none. */
export async function loadOstreeRemote(services: Services, id: string): Promise<OstreeRemote> {
  const remote = await loadRemote(services, id);
  const [row] = await services.db.query(sql`
    select depth, include_refs, exclude_refs from ostree_remote where id = ${id}::uuid`);
  if (!row) throw new MissingRemoteError(id);
  return { ...remote, ...columns.parse(row) };
}
