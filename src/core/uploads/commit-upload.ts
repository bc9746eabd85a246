import { z } from 'zod';
import { sql } from '../../db/sql.ts';
import { defineTask, type TaskContext } from '../../kit/define-task.ts';
import { artifactHref, prnOf } from '../../kit/names.ts';
import { RunningChecksums } from '../../lib/checksums.ts';
import { artifactKey, uploadChunkKey } from '../../storage/layout.ts';
import { MissingFileError, type PendingFile } from '../../storage/storage.ts';
import { requireSpace } from '../artifacts/require-space.ts';
import { type StoredFile, saveNewArtifact, storedFile } from '../artifacts/save-artifacts.ts';
import { artifactExists } from '../artifacts/upload-artifact.ts';
import { assertFence } from '../tasks/fence.ts';
import { chunksOf, releaseChunks, removeChunksLater } from './chunk-files.ts';
import { missingRanges, type Segment, segmentsOf } from './segments.ts';

/** How many ranges that are missing an error names. */
const NAMED_RANGES = 10;

/** What was uploaded cannot become the artifact that was asked for. */
class UploadCommitError extends Error {
  override readonly name = 'UploadCommitError';
}

interface OpenUpload {
  readonly id: string;
  readonly size: number;
  readonly artifact_id: string | null;
}

/**
 * Makes an artifact of an upload: its chunks, put together. The upload is gone afterwards; where the task fails it is as before.
 * Result: null; the artifact is the created resource.
 */
export const commitUpload = defineTask({
  name: 'pulpcore.app.tasks.upload.commit',
  args: z.strictObject({ upload_id: z.uuid(), sha256: z.string() }),
  rerun: true,
  async run({ upload_id, sha256 }, context) {
    const { services, log } = context;
    const [upload] = await services.db.query<OpenUpload>(
      sql`select id, size, artifact_id from upload where id = ${upload_id}::uuid`,
    );
    if (!upload) {
      log.info({ upload: upload_id }, 'there is no such upload any more; nothing to commit');
      return null;
    }
    // An earlier run of this task got that far.
    const artifactId = upload.artifact_id ?? (await commit(upload, sha256, context));
    context.created(artifactHref(artifactId), prnOf('core', 'Artifact', artifactId));
    return null;
  },
});

async function commit(upload: OpenUpload, sha256: string, context: TaskContext): Promise<string> {
  const { services } = context;
  const segments = segmentsOf(await chunksOf(services.db, upload.id));
  await requireSpace(
    services,
    segments.reduce((bytes, { length }) => bytes + length, 0),
  );
  const pending = await services.storage.create();
  try {
    const file = await assemble(segments, pending, context);
    if (file.checksums.sha256 !== sha256) throw new UploadCommitError(mismatch(segments, upload.size));
    return await complete(upload.id, file, pending, context);
  } finally {
    await pending.abort();
  }
}

/** Copies the segments, one behind the other, and hashes them meanwhile. */
async function assemble(segments: readonly Segment[], pending: PendingFile, context: TaskContext): Promise<StoredFile> {
  const { storage, config } = context.services;
  const checksums = new RunningChecksums(config.PULP_ALLOWED_CONTENT_CHECKSUMS);
  let size = 0;
  try {
    for (const { chunk, skip, length } of segments) {
      for await (const bytes of await storage.read(uploadChunkKey(chunk.id), { start: skip, length })) {
        context.signal.throwIfAborted();
        checksums.update(bytes as Buffer);
        await pending.write(bytes as Buffer);
        size += (bytes as Buffer).byteLength;
      }
    }
  } catch (error) {
    if (!(error instanceof MissingFileError)) throw error;
    throw new UploadCommitError(
      'A chunk is not in the storage any more: the upload was changed or deleted while it was being committed, or its file was lost.',
      { cause: error },
    );
  }
  return storedFile(size, checksums.finish());
}

function mismatch(segments: readonly Segment[], size: number): string {
  const missing = missingRanges(segments, size);
  const named = missing.slice(0, NAMED_RANGES).join(', ');
  const more = missing.length > NAMED_RANGES ? ` and ${missing.length - NAMED_RANGES} more ranges` : '';
  return `The sha256 checksum did not match.${missing.length > 0 ? ` Of the ${size} bytes of the upload, ${named}${more} were never uploaded.` : ''}`;
}

/** In one step, the artifact is there and the upload is not. */
async function complete(
  uploadId: string,
  file: StoredFile,
  pending: PendingFile,
  { services, task }: TaskContext,
): Promise<string> {
  const { sha256 } = file.checksums;
  const { artifactId, released } = await services.db.transaction(async (tx) => {
    await assertFence(tx, task);
    const store = () => pending.commit(artifactKey(sha256));
    const { id, made } = await saveNewArtifact(tx, services.storage, task.domain_id, file, store);
    if (!made) throw new UploadCommitError(artifactExists(sha256));
    const completed = await tx.execute(sql`
      update upload set completed = clock_timestamp(), pulp_last_updated = clock_timestamp(), artifact_id = ${id}::uuid
      where id = ${uploadId}::uuid and completed is null`);
    if (completed === 0) throw new UploadCommitError('The upload was deleted while it was being committed.');
    return { artifactId: id, released: await releaseChunks(tx, uploadId) };
  });
  await removeChunksLater(services, released);
  return artifactId;
}
