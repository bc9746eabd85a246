import type { Queryable } from '../../db/database.ts';
import { raw, sql } from '../../db/sql.ts';
import type { ContentSelection } from '../content/content-selection.ts';
import type { UniqueInVersion } from './publish-version.ts';

/** An added unit would take the place of one that is there, and the client does not want that. */
export class ContentOverwriteError extends Error {
  override readonly name = 'ContentOverwriteError';
  readonly error_code = 'PLP0023';
  constructor(pulpType: string, conflicts: readonly { readonly incoming: string; readonly existing: string }[]) {
    const pairs = conflicts.map(({ incoming, existing }) => `${incoming}->${existing}`).join(', ');
    super(
      `[PLP0023] Content overwrite rejected: new content of type '${pulpType}' would overwrite ${conflicts.length} existing ` +
        `content unit(s) in the repository with the same unique key. Conflicting content (incoming->existing): [${pairs}]`,
    );
  }
}

/** Throws ContentOverwriteError where an added unit shares what must be unique within a version with another one of those present. */
export async function refuseOverwrite(
  db: Queryable,
  added: readonly string[],
  present: ContentSelection,
  unique: readonly UniqueInVersion[],
): Promise<void> {
  for (const { pulp_type, table, column } of unique) {
    const conflicts = await db.query<{ incoming: string; existing: string }>(sql`
      select a.id as incoming, old.id as existing
      from ${raw(table)} a join ${raw(table)} old on old.${raw(column)} = a.${raw(column)} and old.id <> a.id
      where a.id = any(${added}::uuid[]) and old.id in (${present})`);
    if (conflicts.length > 0) throw new ContentOverwriteError(pulp_type, conflicts);
  }
}
