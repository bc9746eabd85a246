import type { ContentSelection } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';

/** What commits consist of; an object of several as often. */
export const objectsOf = (commits: readonly string[]): ContentSelection =>
  sql`select o.object_id as id from ostree_commit_object o where o.commit_id = any(${commits}::uuid[])`;
