import { z } from 'zod';
import { inVersion } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import { type Digest, digestSchema } from '../../../lib/digest.ts';
import { OCI_INDEX } from '../oci/media-types.ts';
import type { ServedRegistry } from './served-registry.ts';

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

const annotations = z.record(z.string(), z.string()).optional();
const referrer = z.object({
  artifactType: z.string().optional(),
  config: z.object({ mediaType: z.string() }).optional(),
  annotations,
});
const fallbackIndex = z.object({
  mediaType: z.literal(OCI_INDEX).optional(),
  manifests: z.array(
    z.object({
      mediaType: z.string(),
      digest: digestSchema,
      size: z.number(),
      artifactType: z.string().optional(),
      annotations,
    }),
  ),
});

/** The tag under which clients keep the list where a registry has no referrers API. */
const fallbackTag = (digest: Digest): string => digest.replace(':', '-');

/**
 * What refers to the digest: manifests of the version that name it as their subject, and what the fallback tag lists, as clients
 * that find this API do not look at the tag any more. An unknown digest has no referrers.
 */
export async function listReferrers(
  { services, manifests }: ServedRegistry,
  version: ServedVersion,
  digest: Digest,
  artifactType: string | undefined,
): Promise<ReferrersIndex> {
  const rows = await services.db.query<{ media_type: string; digest: string; data: Buffer }>(sql`
    select m.media_type, m.digest, m.data
    from container_manifest m join repository_content rc on rc.content_id = m.id
    where m.subject = ${digest} and ${inVersion(version)}
    order by m.digest`);
  const found = new Map<string, ReferrerDescriptor>();
  for (const row of rows) {
    const manifest = referrer.parse(JSON.parse(row.data.toString('utf8')));
    found.set(row.digest, {
      mediaType: row.media_type,
      digest: row.digest,
      size: row.data.byteLength,
      artifactType: manifest.artifactType ?? (row.media_type === OCI_INDEX ? undefined : manifest.config?.mediaType),
      annotations: manifest.annotations,
    });
  }
  const tagged = await manifests.find(version, fallbackTag(digest));
  if (tagged) {
    const index = fallbackIndex.safeParse(JSON.parse(tagged.body.toString('utf8')));
    for (const entry of index.success ? index.data.manifests : []) if (!found.has(entry.digest)) found.set(entry.digest, entry);
  }
  const listed = [...found.values()].filter((entry) => artifactType === undefined || entry.artifactType === artifactType);
  return { schemaVersion: 2, mediaType: OCI_INDEX, manifests: listed };
}
