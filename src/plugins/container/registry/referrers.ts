import { inVersion } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { empty, sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Digest } from '../../../lib/digest.ts';
import { storableText } from '../../../lib/storable-text.ts';
import { OCI_INDEX } from '../oci/media-types.ts';
import { fallbackTag } from '../oci/reference.ts';
import { nextLink, type Page, parsePage } from './page.ts';

/** An entry of the list; OCI distribution-spec, "Listing Referrers". */
export interface ReferrerDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface ReferrersIndex {
  readonly schemaVersion: 2;
  readonly mediaType: typeof OCI_INDEX;
  readonly manifests: readonly ReferrerDescriptor[];
}

/** Entries of a page where the client does not say: not every client follows links. */
const PAGE_SIZE = 1000;
/** Bytes of annotations after which a page ends: clients take an index of 4 MiB. */
const PAGE_BYTES = 3 * 1024 * 1024;

interface ReferrerRow {
  readonly media_type: string;
  readonly digest: string;
  readonly size: number;
  readonly artifact_type: string | null;
  readonly annotations: Readonly<Record<string, string>>;
  /** Entries from here on, up to one more than the page may have. */
  readonly found: number;
}

/** What is asked for: all that refers to `digest`, or of that what is of one type. */
export interface ReferrersQuery {
  readonly digest: Digest;
  readonly artifactType: string | undefined;
  /** In the order of digests. */
  readonly page: Page;
}

/** Reads `?artifactType=&n=&last=`. Throws a RegistryError where `n` is no number. */
export function parseReferrersQuery(digest: Digest, query: URLSearchParams): ReferrersQuery {
  const artifactType = storableText(query.get('artifactType') ?? '');
  return { digest, artifactType: artifactType === '' ? undefined : artifactType, page: parsePage(query, PAGE_SIZE) };
}

/**
 * A page of what refers to the digest, and the `Link` header of the next one where there is one: manifests of the version, or
 * pushed to its repository and in no version yet, that name it as their subject; and what the fallback tag lists, as clients that
 * find this API do not look at the tag any more. An unknown digest has no referrers.
 */
export async function listReferrers(
  db: Queryable,
  version: ServedVersion,
  path: string,
  { digest, artifactType, page }: ReferrersQuery,
): Promise<{ readonly index: ReferrersIndex; readonly link: string | undefined }> {
  const asked = sql`${page.last === undefined ? empty : sql`and m.digest > ${page.last}`}
    ${artifactType === undefined ? empty : sql`and m.artifact_type = ${artifactType}`}`;
  const pageful = sql`order by m.digest limit ${page.n + 1}`;
  const rows = await db.query<ReferrerRow>(sql`
    with found as (
      (select m.id, m.digest from container_manifest m join repository_content rc on rc.content_id = m.id
        where m.subject = ${digest} and ${inVersion(version)} ${asked} ${pageful})
      union
      (select m.id, m.digest from container_manifest m join container_pending_content p on p.content_id = m.id
        where m.subject = ${digest} and p.repository_id = ${version.repository_id}::uuid ${asked} ${pageful})
      union
      (select m.id, m.digest
        from container_tag t
          join container_manifest list on list.id = t.tagged_manifest_id and list.media_type = ${OCI_INDEX}
          join container_manifest_list_item li on li.list_id = list.id
          join container_manifest m on m.id = li.manifest_id
          join repository_content rc on rc.content_id = m.id
        where t.name = ${fallbackTag(digest)} and (m.subject is null or m.subject = ${digest})
          and exists (select from repository_content rc where rc.content_id = t.id and ${inVersion(version)})
          and ${inVersion(version)} ${asked} ${pageful})),
    weighed as (
      select m.id, m.digest,
        sum(octet_length(m.annotations::text)) over (order by m.digest) - octet_length(m.annotations::text) as before
      from (select m.id from found m ${pageful}) first join container_manifest m on m.id = first.id)
    select m.media_type, m.digest, octet_length(m.data) as size, m.artifact_type, m.annotations,
      (select count(*) from weighed) as found
    from weighed join container_manifest m on m.id = weighed.id
    where weighed.before < ${PAGE_BYTES}
    order by m.digest limit ${page.n}`);
  const manifests = rows.map(({ media_type, digest, size, artifact_type, annotations }) => ({
    mediaType: media_type,
    digest,
    size,
    ...(artifact_type === null ? {} : { artifactType: artifact_type }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }));
  const [first] = rows;
  const last = rows.at(-1);
  const more = first !== undefined && last !== undefined && first.found > rows.length;
  const filter: Record<string, string> = artifactType === undefined ? {} : { artifactType };
  return {
    index: { schemaVersion: 2, mediaType: OCI_INDEX, manifests },
    link: more ? nextLink(path, { n: page.n, last: last.digest }, filter) : undefined,
  };
}
