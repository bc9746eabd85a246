import { inVersion } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';

/**
 * A join, `held(waits)`, that leaves content which the version holds, or, where it is the repository's latest, which was pushed since
 * and waits to be in the next one. `id` is the content's.
 */
export const heldIn = (version: ServedVersion, id: Sql): Sql => sql`
  join lateral (
    select false as waits from repository_content rc where rc.content_id = ${id} and ${inVersion(version)}
    union all
    select true from container_pending_content p where p.content_id = ${id} and p.repository_id = ${version.repository_id}::uuid
      and not exists (select from repository_version later
        where later.repository_id = ${version.repository_id}::uuid and later.number > ${version.number})
    limit 1) held on true`;
