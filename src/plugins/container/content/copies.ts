import { z } from 'zod';
import { type ContentSelection, inVersion } from '../../../core/plugin-api.ts';
import { empty, sql } from '../../../db/sql.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import { closureOf, manifestsBelow } from './closure.ts';

/** What is copied: tags with what they name, or manifests with what they consist of. Where a list is null, all are meant. */
export const copied = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tags'), names: z.array(z.string()).nullable() }),
  z.strictObject({
    kind: z.literal('manifests'),
    digests: z.array(z.string()).nullable(),
    media_types: z.array(z.string()).nullable(),
  }),
]);
export type Copied = z.output<typeof copied>;

/** The tags or manifests themselves. */
function rootsOf(version: ServedVersion, what: Copied): ContentSelection {
  if (what.kind === 'tags') {
    return sql`
      select t.id from container_tag t join repository_content rc on rc.content_id = t.id
      where ${inVersion(version)} ${what.names ? sql`and t.name = any(${what.names}::text[])` : empty}`;
  }
  const { digests, media_types } = what;
  return sql`
    select m.id from container_manifest m join repository_content rc on rc.content_id = m.id
    where ${inVersion(version)} ${digests ? sql`and m.digest = any(${digests}::text[])` : empty}
      ${media_types ? sql`and m.media_type = any(${media_types}::text[])` : empty}`;
}

/** What a copy from the version brings: the tags or manifests, everything below them, and the signatures that the version has of those. */
export function copyOf(version: ServedVersion, what: Copied): ContentSelection {
  const roots = rootsOf(version, what);
  return sql`
    ${closureOf(roots)}
    union
    select s.id from container_signature s join repository_content rc on rc.content_id = s.id
    where ${inVersion(version)} and s.signed_manifest_id in (${manifestsBelow(roots)})`;
}
