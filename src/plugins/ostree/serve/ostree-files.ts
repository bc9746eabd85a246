import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { UnitFile, UnitFiles } from '../../../kit/unit-files.ts';
import { hexOf, parseDigest } from '../../../lib/digest.ts';
import type { Checksum } from '../format/checksum.ts';
import { isObjectType, ObjectType, objectPath } from '../format/object.ts';
import { type Proof, UpstreamFiles } from './upstream-files.ts';

interface UnitRow {
  readonly id: string;
  /** Of an object or commit: its checksum and the number of its type; of a ref: its commit's. */
  readonly checksum: Checksum | null;
  readonly typ: number | null;
  /** Of any other file. */
  readonly path: string | null;
  /** Of the stored file. */
  readonly sha256: string;
  readonly size: number;
}

/** Gets the files of units again: those of refs follow from their rows, all others come from upstream repositories. */
export function ostreeFiles(services: Services): UnitFiles {
  const upstreams = new UpstreamFiles(services);
  return {
    async find(unitIds) {
      const rows = await services.db.query<UnitRow>(sql`
        select u.*, a.sha256, a.size from (
          select id, checksum, typ, null as path from ostree_object union all
          select id, checksum, ${ObjectType.commit}::int, null from ostree_commit union all
          select r.id, k.checksum, null, null from ostree_ref r join ostree_commit k on k.id = r.commit_id union all
          select id, null, null, relative_path from ostree_config union all
          select id, null, null, relative_path from ostree_summary union all
          select id, null, null, relative_path from ostree_content) u
        join content c on c.id = u.id join artifact a on a.id = c.artifact_id
        where u.id = any(${unitIds}::uuid[])`);
      return new Map(rows.flatMap((row) => entry(row.id, fileOf(upstreams, row))));
    },
    close: () => upstreams.close(),
  };
}

const entry = (id: string, file: UnitFile | undefined): [string, UnitFile][] => (file ? [[id, file]] : []);

function fileOf(upstreams: UpstreamFiles, { checksum, typ, path, sha256, size }: UnitRow): UnitFile | undefined {
  if (checksum !== null && typ === null) return { made: Buffer.from(`${checksum}\n`) };
  const isObject = checksum !== null && typ !== null && isObjectType(typ);
  const at = isObject ? objectPath(checksum, typ) : path;
  if (at === null) return undefined;
  const name = at.slice(at.lastIndexOf('/') + 1);
  // A filez may come as other bytes of the same file (spec: ostree, §9).
  if (isObject && typ === ObjectType.file) {
    return { fetched: { name, size: null, proven: {}, fetchFrom: upstreams.fetcher(at, { filez: checksum }, null) } };
  }
  const digest = parseDigest(`sha256:${isObject ? checksum : sha256}`);
  if (!digest) return undefined;
  const proof: Proof = { digest };
  return { fetched: { name, size, proven: { sha256: hexOf(digest) }, fetchFrom: upstreams.fetcher(at, proof, size) } };
}
