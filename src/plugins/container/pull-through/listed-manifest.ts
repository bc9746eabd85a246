import { inVersion } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Digest } from '../../../lib/digest.ts';
import { type Manifest, parseManifest } from '../oci/manifest.ts';
import { DOCKER_MANIFEST_LIST, OCI_INDEX } from '../oci/media-types.ts';

/** The indexes of a version that list the digest: what they list comes with them, whether it was fetched yet or not. */
export async function indexesListing(db: Queryable, version: ServedVersion, digest: Digest): Promise<Manifest[]> {
  const rows = await db.query<{ digest: Digest; media_type: string; data: Buffer }>(sql`
    select m.digest, m.media_type, m.data
    from container_manifest m join repository_content rc on rc.content_id = m.id
    where ${inVersion(version)} and m.media_type in (${OCI_INDEX}, ${DOCKER_MANIFEST_LIST})
      and position(convert_to(${digest}, 'UTF8') in m.data) > 0`);
  return rows
    .map((row) => parseManifest(row.data, { contentType: row.media_type, proven: row.digest }))
    .filter(({ children }) => children.some((child) => child.digest === digest));
}
