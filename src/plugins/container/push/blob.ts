import { contentIds, saveNewArtifact, seenContent, storedFile } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { ChecksumName, Checksums } from '../../../lib/checksums.ts';
import { algorithmOf, type Digest, hexOf } from '../../../lib/digest.ts';
import { artifactKey, pushedPartKey } from '../../../storage/layout.ts';
import { MissingFileError } from '../../../storage/storage.ts';
import { inLatest } from '../content/latest-content.ts';
import { digestMismatch, uploadUnknown } from '../registry/registry-error.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { following, ReceivedBlob } from './received-blob.ts';
import {
  endUpload,
  type IncomingBytes,
  removeParts,
  requireRoom,
  takeUpload,
  type Upload,
  type UploadPart,
  type UploadServices,
} from './upload.ts';

export type PushServices = UploadServices & Pick<Services, 'domain'>;

/** A blob that is whole, not yet under its key. */
interface WholeBlob {
  readonly size: number;
  readonly checksums: Checksums;
  store(key: string): Promise<void>;
}

/** What an upload is ended with: the last bytes of the blob, or all. */
export interface BlobPush extends IncomingBytes {
  readonly digest: Digest;
}

/** What is computed of the bytes of a blob. */
export const checksumsWanted = ({ config }: Pick<Services, 'config'>, digest: Digest): ReadonlySet<ChecksumName> =>
  new Set([...config.PULP_ALLOWED_CONTENT_CHECKSUMS, algorithmOf(digest)]);

/** Whether the digest is all that is to be known of the bytes of a blob. */
export const isNamedByAll = (services: Pick<Services, 'config'>, digest: Digest): boolean =>
  algorithmOf(digest) === 'sha256' && [...checksumsWanted(services, digest)].every((name) => name === 'sha256');

/** Ends an upload, with the last of its bytes. What is wrong with it ends it too: throws RegistryError (400, 404, 413, 416). */
export async function finishUpload(services: PushServices, push: BlobPush, upload: Upload): Promise<void> {
  try {
    await requireRoom(services, upload, push);
    const [part, ...others] = upload.parts;
    const rest = push.bytes[Symbol.asyncIterator]();
    const first = await rest.next();
    const promoted = part && others.length === 0 && first.done && promotable(services, part, push.digest);
    if (promoted) await keepBlob(services, push, promoted, upload);
    else
      await assemble(services, push, upload, first.done ? [] : following([first.value], { [Symbol.asyncIterator]: () => rest }));
  } catch (error) {
    await endFailed(services, upload.id, () => endUpload(services, upload));
    // Its files went with the storage's other folders, as in a restore.
    throw error instanceof MissingFileError ? uploadUnknown(upload.id) : error;
  }
  await removeParts(services, upload.parts);
}

/** Ends an upload that failed. Where it is somebody else's by now, so are its files. */
export async function endFailed({ log }: UploadServices, id: string, end: () => Promise<unknown>): Promise<void> {
  await end().catch((cause: unknown) => {
    log.debug({ err: cause, upload: id }, 'an upload that failed could not be ended');
  });
}

/** The only part of an upload, where what is known of it is all that is to be known. */
function promotable(services: PushServices, part: UploadPart, digest: Digest): WholeBlob | undefined {
  if (!isNamedByAll(services, digest)) return undefined;
  const { storage } = services;
  return { size: part.size, checksums: { sha256: part.sha256 }, store: (key) => storage.move(pushedPartKey(part.id), key) };
}

/** Puts together what has come in several requests. */
async function assemble(
  services: PushServices,
  push: BlobPush,
  upload: Upload,
  rest: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const { storage } = services;
  const before = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    if (upload.body) yield upload.body;
    for (const part of upload.parts) yield* (await storage.read(pushedPartKey(part.id))) as AsyncIterable<Buffer>;
    yield* rest;
  };
  const reception = { wanted: checksumsWanted(services, push.digest), most: push.most };
  const received = await ReceivedBlob.receive(before(), reception, storage);
  try {
    await keepBlob(services, push, received, upload);
  } finally {
    await received.drop();
  }
}

/** In one step, the blob is the repository's, and the upload is gone. Throws RegistryError (400) for other bytes. */
async function keepBlob(services: PushServices, push: BlobPush, blob: WholeBlob, upload: Upload): Promise<void> {
  const { digest } = push;
  const actual = blob.checksums[algorithmOf(digest)];
  if (actual !== hexOf(digest)) throw digestMismatch(digest, `${algorithmOf(digest)}:${actual}`);
  await services.db.transaction(async (tx) => {
    await takeUpload(tx, upload);
    const artifact_id = await keepArtifact(tx, services, blob);
    const saver = new ContentSaver(services, services.domain.id);
    await saver.saveIn(tx, [{ kind: 'blob', digest, size: blob.size, file: undefined, artifact_id }]);
    await addPending(tx, upload.repository_id, saver.blobId(digest));
  });
}

/** The artifact of these bytes, made where it is not there; a file that was lost has come back. */
async function keepArtifact(tx: Queryable, { storage, domain }: PushServices, blob: WholeBlob): Promise<string> {
  const file = storedFile(blob.size, blob.checksums);
  const { sha256 } = file.checksums;
  const key = artifactKey(sha256);
  const kept = await saveNewArtifact(tx, storage, domain.id, file, () => blob.store(key));
  if (!kept.made && (await storage.size(kept.file)) === undefined) await blob.store(kept.file);
  return kept.id;
}

/** Content is the repository's, until a version holds it. */
export async function addPending(tx: Queryable, repositoryId: string, contentId: string): Promise<void> {
  await tx.execute(insertPending(repositoryId, sql`(select ${contentId}::uuid as id)`));
}

/** A statement, or a part of one: the content of these ids, a column `id`, is the repository's, until a version holds it. */
export const insertPending = (repositoryId: string, from: Sql): Sql => sql`
  insert into container_pending_content (repository_id, content_id)
  select ${repositoryId}::uuid, come.id from ${from} come where not ${inLatest(repositoryId, sql`come.id`)}
  on conflict (repository_id, content_id) do update set pulp_created = now()`;

/** Makes a blob that another repository has this one's, too. Answers false, with nothing done, where it has just gone. */
export async function mountBlob(tx: Queryable, contentId: string, repositoryId: string): Promise<boolean> {
  const [seen] = await tx.query<{ count: number }>(sql`
    with ${seenContent(contentIds([contentId]))},
    pending as (${insertPending(repositoryId, sql`seen`)})
    select count(*) as count from seen`);
  return seen?.count === 1;
}
