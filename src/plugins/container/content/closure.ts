import type { ContentSelection } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';

/** Common table expressions: `root(id)`, what is given, and `image(id)`, the manifests that it names, points at or lists at any depth. */
const manifestsOf = (roots: ContentSelection): Sql => sql`
  with recursive root(id) as materialized (${roots}),
  image(id) as (
    select found.id from (
      select m.id from container_manifest m join root on root.id = m.id
      union
      select t.tagged_manifest_id from container_tag t join root on root.id = t.id) found
    union
    select li.manifest_id from image join container_manifest_list_item li on li.list_id = image.id)`;

/** Configs and layers of the manifests in `image`. */
const blobsOfImages = sql`
  select mb.blob_id as id from image join container_manifest_blob mb on mb.manifest_id = image.id
  union
  select m.config_blob_id from image join container_manifest m on m.id = image.id where m.config_blob_id is not null`;

/** The given units and everything below them: tags, the manifests they point at, what these list, and all their blobs. */
export const closureOf = (roots: ContentSelection): ContentSelection => sql`
  select id from (${manifestsOf(roots)}
    select id from root union select id from image union ${blobsOfImages}) closure`;

/** The blobs below the given units. */
export const blobsBelow = (roots: ContentSelection): ContentSelection => sql`
  select id from (${manifestsOf(roots)} ${blobsOfImages}) below`;

/** Only the config blobs below the given units. */
export const configsBelow = (roots: ContentSelection): ContentSelection => sql`
  select id from (${manifestsOf(roots)}
    select distinct m.config_blob_id as id from image join container_manifest m on m.id = image.id
    where m.config_blob_id is not null) below`;

/** The manifests among and below the given units. */
export const manifestsBelow = (roots: ContentSelection): ContentSelection => sql`
  select id from (${manifestsOf(roots)} select id from image) below`;
