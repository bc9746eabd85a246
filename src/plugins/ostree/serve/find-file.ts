import { inVersion } from '../../../core/plugin-api.ts';
import { empty, type Sql, sql } from '../../../db/sql.ts';
import type { MadeFile, ServedFile } from '../../../kit/content-handler.ts';
import type { ContentFile, ServedVersion } from '../../../kit/served-file.ts';
import type { Services } from '../../../kit/services.ts';
import { hexOf, parseDigest } from '../../../lib/digest.ts';
import { ObjectType } from '../format/object.ts';
import { type FilePath, parseFilePath } from './file-path.ts';
import type { Proof, UpstreamFiles } from './upstream-files.ts';

type SearchServices = Pick<Services, 'db' | 'domain'>;
type StoredPath = Exclude<FilePath, { readonly kind: 'ref' }>;

interface FileRow {
  readonly content_id: string;
  /** Key of the stored file, its size in bytes, its checksum and when it came; null while it is only known. */
  readonly file: string | null;
  readonly size: number | null;
  readonly sha256: string | null;
  readonly created: string | null;
}

const headers = { contentType: 'application/octet-stream', others: {} };
const httpDate = (iso: string): string => new Date(iso).toUTCString();

/** The file at a path of a version; undefined where the version has none, whatever other versions and repositories have. */
export async function findFile(
  services: SearchServices,
  upstreams: UpstreamFiles,
  version: ServedVersion,
  path: string,
): Promise<ServedFile | undefined> {
  const parsed = parseFilePath(path);
  if (parsed.kind === 'ref') return findRef(services, version, parsed.name);
  const [row] = await services.db.query<FileRow>(fileQuery(services, version, parsed, path));
  const proof = row && proofOf(parsed, row);
  if (!row || !proof) return undefined;
  return { ...contentFile(upstreams, version, path, row, proof), lasting: parsed.kind === 'commit' || parsed.kind === 'object' };
}

/**
 * One row at most, by the unique index of the unit's table and the primary key of repository_content; a summary is looked for among
 * what was added last, since nearly every version has its own.
 */
export function fileQuery({ domain }: Pick<Services, 'domain'>, version: ServedVersion, path: StoredPath, text: string): Sql {
  const [table, condition] = tableOf(path, text);
  return sql`
    select t.id as content_id, a.file, a.size, a.sha256, a.pulp_created as created
    from ${table} t
      join repository_content rc on rc.content_id = t.id
      join content c on c.id = t.id
      left join artifact a on a.id = c.artifact_id
    where t.domain_id = ${domain.id}::uuid ${condition} and ${inVersion(version)}
    ${path.kind === 'summary' ? sql`order by rc.version_added desc` : empty} limit 1`;
}

function tableOf(path: StoredPath, text: string): readonly [table: Sql, condition: Sql] {
  switch (path.kind) {
    case 'config':
      return [sql`ostree_config`, empty];
    case 'summary':
      return [sql`ostree_summary`, empty];
    case 'commit':
      return [sql`ostree_commit`, sql`and t.checksum = ${path.checksum}`];
    case 'object':
      return [sql`ostree_object`, sql`and t.checksum = ${path.checksum} and t.typ = ${path.type}`];
    case 'content':
      return [sql`ostree_content`, sql`and t.relative_path = ${text}`];
  }
}

/** What proves the file should it have to be fetched; undefined where nothing does. */
function proofOf(path: StoredPath, { sha256 }: FileRow): Proof | undefined {
  if (path.kind === 'object' && path.type === ObjectType.file) return { filez: path.checksum };
  const hex = path.kind === 'object' || path.kind === 'commit' ? path.checksum : sha256;
  const digest = hex === null ? undefined : parseDigest(`sha256:${hex}`);
  return digest && { digest };
}

function contentFile(upstreams: UpstreamFiles, version: ServedVersion, path: string, row: FileRow, proof: Proof): ContentFile {
  const { content_id, file, size, sha256, created } = row;
  const isStored = file !== null && size !== null && sha256 !== null && created !== null;
  return {
    content_id,
    repository_id: version.repository_id,
    name: path.slice(path.lastIndexOf('/') + 1),
    stored: isStored ? { key: file, size, etag: sha256, modified: httpDate(created) } : undefined,
    // A filez that has to be fetched again may come as other bytes of the same file (spec: ostree, section 9).
    ...('digest' in proof
      ? { size, proven: { sha256: hexOf(proof.digest) }, fetchFrom: upstreams.fetcher(path, proof, size) }
      : { size: null, proven: {}, fetchFrom: upstreams.fetcher(path, proof, null) }),
    headers,
  };
}

/** The file of a ref is made of its row: the commit's checksum and a newline, as ostree writes it. */
async function findRef({ db, domain }: SearchServices, version: ServedVersion, name: string): Promise<ServedFile | undefined> {
  const [row] = await db.query<{ checksum: string; created: string }>(refQuery({ domain }, version, name));
  if (!row) return undefined;
  const body = Buffer.from(`${row.checksum}\n`);
  const made: MadeFile = {
    body,
    described: { size: body.byteLength, etag: row.checksum, modified: httpDate(row.created) },
    headers,
  };
  return { ...made, lasting: false };
}

/** A version has one ref of a name; the index on names and the primary keys lead to it. */
export const refQuery = ({ domain }: Pick<Services, 'domain'>, version: ServedVersion, name: string): Sql => sql`
  select k.checksum, c.pulp_created as created
  from ostree_ref t
    join repository_content rc on rc.content_id = t.id
    join content c on c.id = t.id
    join ostree_commit k on k.id = t.commit_id
  where k.domain_id = ${domain.id}::uuid and t.name = ${name} and ${inVersion(version)}
  limit 1`;
