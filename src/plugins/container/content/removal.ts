import type { ContentSelection } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import { inLatest } from './latest-content.ts';

/** Common table expressions: `gone_tag`, and `gone_manifest(id)`, the manifests and indexes that go with what is `named(id)`. */
const manifestsGone = (repositoryId: string): Sql => sql`
  gone_tag as materialized (
    select t.id, t.tagged_manifest_id from container_tag t join named on named.id = t.id
    where ${inLatest(repositoryId, sql`t.id`)}),
  candidate(id) as (
    select found.id from (
      select m.id from container_manifest m join named on named.id = m.id
      union
      select tagged_manifest_id from gone_tag) found
    where ${inLatest(repositoryId, sql`found.id`)}
    union
    select li.manifest_id from candidate join container_manifest_list_item li on li.list_id = candidate.id
    where ${inLatest(repositoryId, sql`li.manifest_id`)}),
  kept(id) as (
    select candidate.id from candidate
    where exists (
      select from container_tag t where t.tagged_manifest_id = candidate.id and ${inLatest(repositoryId, sql`t.id`)}
        and not exists (select from gone_tag where gone_tag.id = t.id))
      or exists (
        select from container_manifest_list_item li where li.manifest_id = candidate.id and ${inLatest(repositoryId, sql`li.list_id`)}
          and not exists (select from candidate lister where lister.id = li.list_id))
    union
    select candidate.id from kept join container_manifest_list_item li on li.list_id = kept.id
    join candidate on candidate.id = li.manifest_id),
  gone_manifest as materialized (select id from candidate except select id from kept)`;

/** Those blobs that are named or used by manifests which go, and not used by any that stays. */
const blobsGone = (repositoryId: string): Sql => {
  const stays = (manifest: Sql) =>
    sql`${inLatest(repositoryId, manifest)} and not exists (select from gone_manifest where gone_manifest.id = ${manifest})`;
  return sql`
    select found.id from (
      select b.id from container_blob b join named on named.id = b.id
      union
      select mb.blob_id from gone_manifest join container_manifest_blob mb on mb.manifest_id = gone_manifest.id
      union
      select m.config_blob_id from gone_manifest join container_manifest m on m.id = gone_manifest.id
      where m.config_blob_id is not null) found
    where not exists (
        select from container_manifest_blob mb where mb.blob_id = found.id and ${stays(sql`mb.manifest_id`)})
      and not exists (
        select from container_manifest m where m.config_blob_id = found.id and ${stays(sql`m.id`)})`;
};

/**
 * What leaves the latest version of the repository with the named units (spec: repositories, Recursive remove algorithm): tags that are
 * named; manifests and indexes that are named, tagged by those or listed by an index that goes, unless a tag or an index that stays
 * needs them; blobs that are named or used by those, unless a manifest that stays uses them; signatures that are named or of those.
 * A unit that something needs is not in the selection, though it be named. Manifests that refer to one by `subject` stay.
 */
export const removalOf = (repositoryId: string, named: ContentSelection): ContentSelection => sql`
  select id from (
    with recursive named(id) as materialized (${named}), ${manifestsGone(repositoryId)}
    select id from gone_tag
    union all
    select id from gone_manifest
    union all
    select id from (${blobsGone(repositoryId)}) gone_blob
    union all
    select s.id from container_signature s join named on named.id = s.id
    union all
    select s.id from container_signature s join gone_manifest on gone_manifest.id = s.signed_manifest_id) removal`;
