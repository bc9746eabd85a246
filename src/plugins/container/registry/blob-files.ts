import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { UnitFile, UnitFiles } from '../../../kit/unit-files.ts';
import type { Digest } from '../../../lib/digest.ts';
import { algorithmOf, hexOf } from '../../../lib/digest.ts';
import { UpstreamBlobs } from './upstream-blob.ts';

/** Gets blobs again, from the registries that have them. Manifests are in the database. */
export function blobFiles(services: Services): UnitFiles {
  const upstreams = new UpstreamBlobs(services);
  return {
    async find(unitIds) {
      const rows = await services.db.query<{ id: string; digest: Digest; size: number | null }>(sql`
        select b.id, b.digest, coalesce(a.size, b.size) as size
        from container_blob b join content c on c.id = b.id left join artifact a on a.id = c.artifact_id
        where b.id = any(${unitIds}::uuid[])`);
      return new Map<string, UnitFile>(
        rows.map(({ id, digest, size }) => {
          const fetchFrom = upstreams.fetcher({ digest, size: size ?? undefined });
          return [id, { fetched: { name: digest, size, proven: { [algorithmOf(digest)]: hexOf(digest) }, fetchFrom } }];
        }),
      );
    },
    close: () => upstreams.close(),
  };
}
