import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import type { Digest } from '../../../lib/digest.ts';
import { heldIn } from './held-content.ts';

/** A signature as the extension API gives it: an atomic container signature, `content` in base64. */
export interface ExtensionSignature {
  readonly schemaVersion: 2;
  readonly type: 'atomic';
  readonly name: string;
  readonly content: string;
}

const signaturesOf = (version: ServedVersion, digest: Digest): Sql => sql`
  from container_signature s
    join container_manifest m on m.id = s.signed_manifest_id
    ${heldIn(version, sql`s.id`)}
  where m.digest = ${digest}
  order by s.id`;

/** The version's signatures of a manifest, the oldest first; [] where it has none. */
export async function listSignatures(db: Queryable, version: ServedVersion, digest: Digest): Promise<ExtensionSignature[]> {
  const rows = await db.query<{ name: string; data: string }>(sql`select s.name, s.data ${signaturesOf(version, digest)}`);
  return rows.map(({ name, data }) => ({ schemaVersion: 2, type: 'atomic', name, content: data }));
}

/** The bytes of one of them; `number` counts from 1. */
export async function findSignature(
  db: Queryable,
  version: ServedVersion,
  digest: Digest,
  number: number,
): Promise<Buffer | undefined> {
  const [row] = await db.query<{ data: string }>(sql`
    select s.data ${signaturesOf(version, digest)} limit 1 offset ${number}::int - 1`);
  return row && Buffer.from(row.data, 'base64');
}
