import { v7 } from 'uuid';
import {
  freshContent,
  keepWritten,
  requireSpace,
  undoom,
  type WrittenArtifact,
  writtenArtifact,
} from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import { type Digest, hexOf } from '../../../lib/digest.ts';
import { BLOBS } from '../sync/content-tables.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { addPending, endFailed, insertPending, isNamedByAll, type PushServices } from './blob.ts';
import { HELD_BYTES } from './received-blob.ts';
import { isAt, LATER, type UploadAddress } from './upload.ts';

/*
 * The way of most blobs of small images: one PATCH with all bytes, which the upload's row holds, and a PUT without any. It takes half the
 * statements of the way that is open to all others (upload.ts, blob.ts), which goes on wherever this one does not reach.
 */

/** Begins an upload's bytes with these, `HELD_BYTES` at most. Answers false, with nothing done, where it is not there, or has begun. */
export async function holdFirst({ db }: Pick<PushServices, 'db'>, upload: UploadAddress, bytes: Buffer): Promise<boolean> {
  const begun = await db.execute(sql`
    update container_upload set received = ${bytes.byteLength}::bigint, body = ${bytes}::bytea, pulp_last_updated = now() from ${LATER}
    where ${isAt(upload)} and received = 0 and body is null`);
  return begun > 0;
}

/** Bytes that a row has held, as they are taken from it, and their artifact. */
interface TakenBlob extends WrittenArtifact {
  readonly body: Buffer;
}

/**
 * Ends an upload with the bytes that its row holds: in one step, the blob is the repository's, and the upload is gone. Answers false, with
 * nothing done, where the upload is not there, has come in another way, or has other bytes than those of the digest.
 */
export async function finishHeld(services: PushServices, upload: UploadAddress, digest: Digest): Promise<boolean> {
  if (!isNamedByAll(services, digest)) return false;
  const { db } = services;
  try {
    await requireSpace(services, HELD_BYTES);
    return await db.transaction(async (tx) => {
      const taken = await takeHeld(tx, services, upload, digest);
      if (taken) await keepTaken(tx, services, taken, { digest, repository_id: upload.repository_id });
      return taken !== undefined;
    });
  } catch (error) {
    await endFailed(services, upload.id, () =>
      db.execute(sql`delete from container_upload where ${isAt(upload)} and ${IS_HELD}`),
    );
    throw error;
  }
}

/** Condition on a row of uploads: it holds all that has come. */
const IS_HELD = sql`parts = '[]'::jsonb`;

/** Takes the upload away and writes the artifact of its bytes. */
async function takeHeld(
  tx: Queryable,
  { domain }: PushServices,
  upload: UploadAddress,
  digest: Digest,
): Promise<TakenBlob | undefined> {
  const sha256 = hexOf(digest);
  // The repository is held first: who deletes one takes the rows in this order.
  const [taken] = await tx.query<TakenBlob>(sql`
    with held as materialized (select id from repository where id = ${upload.repository_id}::uuid for key share),
    taken as (
      delete from container_upload
      where ${isAt(upload)} and exists (select from held) and ${IS_HELD} and encode(sha256(body), 'hex') = ${sha256}
      returning body, octet_length(body)::bigint as size),
    artifact as (${writtenArtifact(domain.id, sha256, sql`taken`)})
    select taken.body, artifact.* from taken, artifact`);
  return taken;
}

/** What the bytes are, and where they belong. */
interface Place {
  readonly digest: Digest;
  readonly repository_id: string;
}

/** Stores the bytes, and makes them a blob of the repository. */
async function keepTaken(
  tx: Queryable,
  services: PushServices,
  taken: TakenBlob,
  { digest, repository_id }: Place,
): Promise<void> {
  const { storage, domain } = services;
  const { body, sha256 } = taken;
  const own = v7();
  const row = { digest, size: body.byteLength, artifact_id: taken.id };
  const write = async () => {
    const [kept] = await tx.query<{ made: boolean; doomed: boolean }>(sql`
      with ${freshContent(domain.id, BLOBS, [row], [own])},
      undoomed as (${undoom(domain.id, [sha256])}),
      pending as (${insertPending(repository_id, sql`detail`)})
      select exists (select from detail) as made, exists (select from undoomed) as doomed`);
    if (!kept) throw new Error(`what was kept of ${digest} was not answered`);
    return kept;
  };
  const { made } = await keepWritten(storage, taken, (key) => storage.putSmall([{ key, body }]), write);
  if (made) return;
  // It was there before, or another transaction was faster.
  await tx.execute(sql`delete from content where id = ${own}::uuid`);
  const saver = new ContentSaver(services, domain.id);
  await saver.saveIn(tx, [{ kind: 'blob', ...row, file: undefined }]);
  await addPending(tx, repository_id, saver.blobId(digest));
}
