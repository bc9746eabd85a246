import { join } from 'node:path';
import type { ContentSelection } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { batches } from '../../../lib/batches.ts';
import { mapConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import { ProcessFolder } from '../../../storage/process-folder.ts';
import { publishContent } from '../content/publish-content.ts';
import type { DeclaredSignature } from '../sync/declared-content.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { type SignedName, type Signer, signManifest } from './sign-manifest.ts';

export interface SignOptions {
  readonly repository_id: string;
  readonly signing_service_id: string;
  /** What the images are signed as, without a tag: `registry.example.org/app`. */
  readonly reference: string;
  /** The tags whose images are signed; null: all. */
  readonly tags: readonly string[] | null;
}

/** A manifest that a tag names, or that an index lists which it names. */
interface Target {
  readonly tag: string;
  readonly id: string;
  readonly digest: Digest;
}

/** Manifests that are read, and signatures that are saved, together. */
const BATCH = 64;

/**
 * Signs the images of a repository's latest version, each manifest under each tag that leads to it, and publishes the signatures as one
 * version. Throws SigningError; then there is no version.
 */
export async function signRepository(options: SignOptions, context: TaskContext): Promise<void> {
  const { services, log, signal, task } = context;
  const { db, config } = services;
  const signer = await signerOf(db, options.signing_service_id);
  const targets = await targetsOf(db, options);
  const progress = context.progress('signing.manifests', 'Signing Manifests', targets.length);
  const saver = new ContentSaver(services, task.domain_id);
  for (const { digest, id } of targets) saver.know(digest, id);
  const folder = new ProcessFolder(join(config.DATA_DIR, 'work'), log);
  await folder.open();
  try {
    const sign = async (signed: SignedName, stop: AbortSignal): Promise<DeclaredSignature> => {
      const signature = await signManifest(signer, signed, folder.path, stop);
      return { kind: 'signature', digest: signed.digest, signature };
    };
    const limit = config.PULP_MAX_PARALLEL_SIGNING_TASKS;
    let batch: DeclaredSignature[] = [];
    for await (const signature of mapConcurrent(namesOf(db, options, targets), sign, { limit, signal })) {
      progress.increment();
      batch.push(signature);
      if (batch.length < BATCH) continue;
      await saver.save(batch);
      batch = [];
    }
    await saver.save(batch);
  } finally {
    await folder.close();
  }
  progress.complete();
  const { repository_id } = options;
  await publishContent(context, repository_id, { add: ofPresent(repository_id, saver.roots) });
}

async function signerOf(db: Database, id: string): Promise<Signer> {
  const [signer] = await db.query<Signer>(sql`
    select name, script, pubkey_fingerprint from signing_service where id = ${id}::uuid`);
  if (!signer) throw new Error('The signing service was removed before the task ran.');
  return signer;
}

/** Signatures, attestations and SBOMs of cosign are about images, and none themselves. */
const COMPANIONS = '[.](sig|att|sbom)$';

const targetsOf = (db: Database, { repository_id, tags }: SignOptions): Promise<Target[]> =>
  db.query<Target>(sql`
    with recursive image(tag, id) as (
      select t.name, t.tagged_manifest_id
      from repository_content rc join container_tag t on t.id = rc.content_id
      where rc.repository_id = ${repository_id}::uuid and rc.version_removed is null and t.name !~ ${COMPANIONS}
        and (${tags}::text[] is null or t.name = any(${tags}::text[]))
      union
      select image.tag, li.manifest_id from image join container_manifest_list_item li on li.list_id = image.id)
    select image.tag, m.id, m.digest from image join container_manifest m on m.id = image.id
    where exists (select from repository_content rc
      where rc.repository_id = ${repository_id}::uuid and rc.content_id = m.id and rc.version_removed is null)
    order by image.tag, m.digest`);

/** What is to be signed, with the bytes, which are read a batch at a time. */
async function* namesOf(
  db: Database,
  { reference }: SignOptions,
  targets: readonly Target[],
): AsyncGenerator<SignedName, void, undefined> {
  for (const batch of batches(targets, BATCH)) {
    const rows = await db.query<{ id: string; data: Buffer }>(sql`
      select id, data from container_manifest where id = any(${batch.map(({ id }) => id)}::uuid[])`);
    const data = new Map(rows.map((row) => [row.id, row.data]));
    for (const { tag, id, digest } of batch) {
      const bytes = data.get(id);
      if (!bytes) throw new Error(`The manifest ${digest} was removed while the repository was signed.`);
      yield { digest, data: bytes, reference: `${reference}:${tag}` };
    }
  }
}

/** Selects those of the signatures whose manifest is there still: what was pushed meanwhile stays, and what was deleted needs no signature. */
const ofPresent = (repositoryId: string, signatures: readonly string[]): ContentSelection => sql`
  select s.id from container_signature s join repository_content rc on rc.content_id = s.signed_manifest_id
  where s.id = any(${signatures}::uuid[]) and rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null`;
