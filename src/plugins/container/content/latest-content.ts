import { type ContentSelection, contentIds } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { EACH_BY_INDEX, raw, type Sql, sql } from '../../../db/sql.ts';

/** Condition: the latest version of the repository holds the unit. */
export const inLatest = (repositoryId: string, unit: Sql): Sql => sql`exists (
  select from repository_content rc
  where rc.repository_id = ${repositoryId}::uuid and rc.content_id = ${unit} and rc.version_removed is null ${EACH_BY_INDEX})`;

/** Condition: the latest version of the repository holds the unit, or it was pushed and waits to be in the next one. */
export const heldNow = (repositoryId: string, unit: Sql): Sql => sql`(${inLatest(repositoryId, unit)} or exists (
  select from container_pending_content p where p.content_id = ${unit} and p.repository_id = ${repositoryId}::uuid ${EACH_BY_INDEX}))`;

/**
 * Condition over a row `alias` of manifests or blobs: it has one of these digests, in the repository's domain, by which they are found. In a
 * subquery, as the statement is then planned once, not each time for so many digests.
 */
export const ofDigests = (repositoryId: string, alias: 'm' | 'n', digests: readonly string[]): Sql => sql`
  ${raw(alias)}.domain_id = (select r.domain_id from repository r where r.id = ${repositoryId}::uuid)
  and ${raw(alias)}.digest = any((select ${digests}::text[])::text[])`;

/** Everything that the latest version of the repository holds. */
export const allOf = (repositoryId: string): ContentSelection => sql`
  select rc.content_id as id from repository_content rc
  where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null`;

/** The tag of this name in the latest version of the repository. */
export const tagOf = (repositoryId: string, name: string): ContentSelection => sql`
  select t.id from container_tag t where t.name = ${name} and ${inLatest(repositoryId, sql`t.id`)}`;

/** These manifests, with all tags that the latest version of the repository has for them: what the deletion of an image names. */
export const imagesOf = (repositoryId: string, manifestIds: readonly string[]): ContentSelection => sql`
  select id from (${contentIds(manifestIds)}) manifest
  union
  select t.id from container_tag t where t.tagged_manifest_id = any(${manifestIds}::uuid[]) and ${inLatest(repositoryId, sql`t.id`)}`;

/** The id of the manifest of this digest in the latest version of the repository. */
export async function manifestInLatest(db: Queryable, repositoryId: string, digest: string): Promise<string | undefined> {
  const [manifest] = await db.query<{ id: string }>(sql`
    select m.id from container_manifest m where ${ofDigests(repositoryId, 'm', [digest])} and ${inLatest(repositoryId, sql`m.id`)}`);
  return manifest?.id;
}
