import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { NotFoundError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import { uploadChunkKey } from '../../storage/layout.ts';
import type { Chunk } from './segments.ts';

/*
 * A chunk's row is written before its file is in its place, and removed after the file is gone: at any moment a process may
 * die, and what it leaves is a row that belongs to no upload, which the sweeper finds.
 */

/** Announces a chunk whose file is about to be put in its place. Nobody sees it yet. */
export async function announceChunk({ db }: Services, { id, offset, size }: Chunk): Promise<void> {
  await db.execute(sql`insert into upload_chunk (id, "offset", size) values (${id}::uuid, ${offset}::bigint, ${size}::bigint)`);
}

/**
 * The chunk's file is durable: from now on it is the upload's, in place of the one at the same offset, whose id is answered. Throws
 * NotFoundError where the upload was committed or deleted meanwhile.
 */
export async function addChunk(tx: Queryable, uploadId: string, chunk: Chunk): Promise<string[]> {
  const [upload] = await tx.query(sql`
    update upload set pulp_last_updated = clock_timestamp() where id = ${uploadId}::uuid and completed is null returning id`);
  if (!upload) throw new NotFoundError('Upload');
  const replaced = await tx.query<{ id: string }>(sql`
    update upload_chunk set upload_id = null
    where upload_id = ${uploadId}::uuid and "offset" = ${chunk.offset}::bigint returning id`);
  const added = await tx.execute(sql`update upload_chunk set upload_id = ${uploadId}::uuid where id = ${chunk.id}::uuid`);
  if (added === 0) throw new Error(`the chunk ${chunk.id} took so long to be stored that it was given up`);
  return replaced.map(({ id }) => id);
}

/** The chunks of an upload, in the order they came. */
export const chunksOf = (db: Queryable, uploadId: string): Promise<Chunk[]> =>
  db.query<Chunk>(sql`select id, "offset", size from upload_chunk where upload_id = ${uploadId}::uuid order by id`);

/** Takes all chunks away from an upload; answers their ids. */
export async function releaseChunks(tx: Queryable, uploadId: string): Promise<string[]> {
  const released = await tx.query<{ id: string }>(
    sql`update upload_chunk set upload_id = null where upload_id = ${uploadId}::uuid returning id`,
  );
  return released.map(({ id }) => id);
}

/**
 * Removes those of the chunks that no upload has, with their files. The rows are locked meanwhile: none of them becomes an upload's
 * whose file is about to go, also where it is not known whether `addChunk` was committed.
 */
export async function removeChunks({ db, storage }: Services, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await db.transaction(async (tx) => {
    const gone = await tx.query<{ id: string }>(
      sql`delete from upload_chunk where id = any(${ids}::uuid[]) and upload_id is null returning id`,
    );
    for (const { id } of gone) await storage.delete(uploadChunkKey(id));
  });
}

/** As `removeChunks`, where the request has done its work already: what cannot be removed now is left to the sweeper. */
export async function removeChunksLater(services: Services, ids: readonly string[]): Promise<void> {
  try {
    await removeChunks(services, ids);
  } catch (error) {
    services.log.warn({ err: error, chunks: ids.length }, 'chunks of an upload could not be removed; the sweeper will');
  }
}
