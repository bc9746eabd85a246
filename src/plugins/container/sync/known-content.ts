import { type ContentSelection, findArtifacts, seenContent } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import { algorithmOf, type Digest, hexOf } from '../../../lib/digest.ts';
import { blobsBelow, configsBelow, manifestsBelow } from '../content/closure.ts';
import { DOCKER_MANIFEST_LIST, OCI_INDEX } from '../oci/media-types.ts';

/** A tag of the latest version. */
export interface KnownTag {
  /** Of the tag's content row. */
  readonly id: string;
  readonly name: string;
  readonly digest: Digest;
}

/** A blob that the server knows: by its row, by its stored bytes, or both. */
export interface KnownBlob {
  readonly id: string | null;
  /** The bytes, if they are stored; not yet linked to the row where `linked` is false. */
  readonly artifact: { readonly id: string; readonly file: string } | null;
  readonly linked: boolean;
}

export interface KnownManifest {
  readonly id: string;
  readonly is_bootable: boolean;
  readonly is_flatpak: boolean;
  /** What it refers to. */
  readonly subject: Digest | null;
  /** The body of an index; null for other kinds, whose blobs are known with them. */
  readonly index: { readonly body: Buffer; readonly mediaType: string } | null;
}

/** The tags of the repository's latest version, by name. */
export async function tagsOfLatest(db: Database, repositoryId: string): Promise<ReadonlyMap<string, KnownTag>> {
  const rows = await db.query<KnownTag>(sql`
    select t.id, t.name, m.digest
    from repository_content rc join container_tag t on t.id = rc.content_id join container_manifest m on m.id = t.tagged_manifest_id
    where rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null`);
  return new Map(rows.map((row) => [row.name, row]));
}

/** What speaks for a HEAD before the GET of a tag. */
export interface SeenNames {
  /** Those of the tag names that some tag of this server has. */
  readonly names: ReadonlySet<string>;
  /** Whether something of the same upstream repository is here, through any remote. */
  readonly upstream: boolean;
}

/** Finds what the server has seen of tags by these names; `upstream` is false where it has none of them. */
export async function namesSeen(
  db: Database,
  remote: { readonly url: string; readonly domain_id: string },
  upstreamName: string,
  tags: readonly string[],
): Promise<SeenNames> {
  const rows = await db.query<{ name: string; upstream: boolean }>(sql`
    select distinct t.name, exists (
      select from remote r join container_remote cr on cr.id = r.id join remote_content rc on rc.remote_id = r.id
      where r.domain_id = ${remote.domain_id}::uuid and rtrim(r.url, '/') = rtrim(${remote.url}, '/')
        and cr.upstream_name = ${upstreamName}) as upstream
    from container_tag t join content c on c.id = t.id
    where c.domain_id = ${remote.domain_id}::uuid and t.name = any(${tags}::text[])`);
  return { names: new Set(rows.map((row) => row.name)), upstream: rows[0]?.upstream === true };
}

/** The known ones of these blobs; orphan cleanup spares them, and their bytes, while this task goes on. */
export async function findBlobs(
  db: Database,
  domainId: string,
  digests: readonly Digest[],
): Promise<ReadonlyMap<Digest, KnownBlob>> {
  const rows = await db.query<{ digest: Digest; id: string; artifact_id: string | null; file: string | null }>(sql`
    with ${seenContent(sql`
      select b.id from container_blob b where b.domain_id = ${domainId}::uuid and b.digest = any(${digests}::text[])`)}
    select b.digest, b.id, a.id as artifact_id, a.file
    from seen s join container_blob b on b.id = s.id left join artifact a on a.id = s.artifact_id`);
  const known = new Map<Digest, KnownBlob>(
    rows.map(({ digest, id, artifact_id, file }) => {
      const artifact = artifact_id === null || file === null ? null : { id: artifact_id, file };
      return [digest, { id, artifact, linked: artifact !== null }];
    }),
  );
  // Another kind of content, or an upload, may have brought the same bytes.
  const unstored = digests.filter((digest) => !known.get(digest)?.artifact && algorithmOf(digest) === 'sha256');
  if (unstored.length === 0) return known;
  for (const { id, sha256, file } of await findArtifacts(db, domainId, unstored.map(hexOf))) {
    const digest = `sha256:${sha256}` as Digest;
    known.set(digest, { id: known.get(digest)?.id ?? null, artifact: { id, file }, linked: false });
  }
  return known;
}

/** The known ones of these manifests; orphan cleanup spares them while this task goes on. */
export async function findManifests(
  db: Database,
  domainId: string,
  digests: readonly Digest[],
): Promise<ReadonlyMap<Digest, KnownManifest>> {
  const rows = await db.query<{
    digest: Digest;
    id: string;
    is_bootable: boolean;
    is_flatpak: boolean;
    subject: Digest | null;
    media_type: string;
    body: Buffer | null;
  }>(sql`
    with ${seenContent(sql`
      select m.id from container_manifest m where m.domain_id = ${domainId}::uuid and m.digest = any(${digests}::text[])`)}
    select m.digest, m.id, m.is_bootable, m.is_flatpak, m.subject, m.media_type,
      case when m.media_type in (${OCI_INDEX}, ${DOCKER_MANIFEST_LIST}) then m.data end as body
    from seen join container_manifest m on m.id = seen.id`);
  return new Map(
    rows.map(({ digest, id, is_bootable, is_flatpak, subject, media_type, body }) => [
      digest,
      { id, is_bootable, is_flatpak, subject, index: body && { body, mediaType: media_type } },
    ]),
  );
}

/** The digests of all manifests among and below the given units. */
export async function manifestDigests(db: Database, roots: ContentSelection): Promise<readonly Digest[]> {
  const rows = await db.query<{ digest: Digest }>(sql`
    select m.digest from container_manifest m where m.id in (${manifestsBelow(roots)})`);
  return rows.map((row) => row.digest);
}

/** Those of the digests whose manifest is not in the repository's latest version. */
export async function absentFromLatest(
  db: Database,
  repositoryId: string,
  domainId: string,
  digests: readonly Digest[],
): Promise<readonly Digest[]> {
  const rows = await db.query<{ digest: Digest }>(sql`
    select asked.digest from unnest(${digests}::text[]) as asked(digest)
    where not exists (
      select from container_manifest m join repository_content rc on rc.content_id = m.id
      where m.domain_id = ${domainId}::uuid and m.digest = asked.digest
        and rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null)`);
  return rows.map((row) => row.digest);
}

/** The blobs below the given units whose bytes are not stored: all, or only configs. */
export async function missingBlobs(
  db: Database,
  roots: ContentSelection,
  which: 'all' | 'configs',
): Promise<readonly { readonly digest: Digest; readonly size: number | undefined }[]> {
  const rows = await db.query<{ digest: Digest; size: number | null }>(sql`
    select b.digest, b.size from (${which === 'all' ? blobsBelow(roots) : configsBelow(roots)}) below
    join content c on c.id = below.id join container_blob b on b.id = below.id
    where c.artifact_id is null`);
  return rows.map(({ digest, size }) => ({ digest, size: size ?? undefined }));
}

/** Notes that the blobs below the given units can be had from the remote. */
export async function rememberSource(db: Database, roots: ContentSelection, remoteId: string): Promise<void> {
  await db.execute(sql`
    insert into remote_content (content_id, remote_id)
    select below.id, ${remoteId}::uuid from (${blobsBelow(roots)}) below
    where not exists (select from remote_content rc where rc.content_id = below.id and rc.remote_id = ${remoteId}::uuid)
    order by below.id on conflict do nothing`);
}
