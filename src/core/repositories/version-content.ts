import { type Sql, sql } from '../../db/sql.ts';
import type { ServedVersion } from '../../kit/served-file.ts';

/** A condition over `rc` (repository_content): the row is in the version. Version n holds what was added up to it and not yet removed. */
export const inVersion = ({ repository_id, number }: ServedVersion): Sql => sql`
  rc.repository_id = ${repository_id}::uuid and rc.version_added <= ${number}
  and (rc.version_removed is null or rc.version_removed > ${number})`;
