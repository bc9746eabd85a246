import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { requireSpace } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import { pushedPartKey } from '../../../storage/layout.ts';
import { blobTooLarge, tooManyChunks, tooManyUploads, uploadOutOfOrder, uploadUnknown } from '../registry/registry-error.ts';
import { following, ReceivedBlob } from './received-blob.ts';

/*
 * A blob that comes in several requests, which may be answered by several processes. A few bytes are kept in the upload's row; more
 * in files, one a request, which are durable before the row names them. A crash leaves files that no row names: `sweepUploads` finds
 * them.
 */

export type UploadServices = Pick<Services, 'db' | 'storage' | 'config' | 'log'>;

const partsSchema = z.array(z.object({ id: z.uuid(), size: z.number(), sha256: z.string() }));

/** A file with bytes of an upload. */
export type UploadPart = z.output<typeof partsSchema>[number];

/** An upload as far as it has come. */
export interface Upload {
  readonly id: string;
  readonly repository_id: string;
  /** Bytes. */
  readonly received: number;
  /** All of them, while they are few. */
  readonly body: Buffer | null;
  /** Else the files that they are in, in their order. */
  readonly parts: readonly UploadPart[];
}

/** Files that an upload may be in: 10 GB in chunks of 1 MB are 10,240. Each request reads and writes their list. */
const MAX_PARTS = 16_384;

/** Whose upload it is, and to what: nobody else can go on with it. */
export interface UploadOwner {
  readonly repository_id: string;
  readonly user_id: number;
}

/** Which upload, and whose. */
export interface UploadAddress extends UploadOwner {
  readonly id: string;
}

/** Bytes that come for an upload. */
export interface IncomingBytes {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** How many they are, as far as the client says. */
  readonly length: number;
  /** Bytes that a blob may have. */
  readonly most: number;
}

/** Throws where what is to come is too much, before it comes: RegistryError (413), StorageFullError. */
export async function requireRoom(
  services: UploadServices,
  { received }: Upload,
  { length, most }: Pick<IncomingBytes, 'length' | 'most'>,
): Promise<void> {
  if (received + length > most) throw blobTooLarge(most);
  await requireSpace(services, length);
}

/**
 * For the `from` of a statement: its commit does not wait for the disk. What a crash of PostgreSQL takes of an upload, its client sends again;
 * the end of an upload waits.
 */
export const LATER = sql`set_config('synchronous_commit', 'off', true)`;

/** Uploads that nothing was added to for so long are not counted against the limit of their user. */
const ACTIVE_MINUTES = 60;

/** Begins an upload. Throws RegistryError (429) for a user who has too many that go on. */
export async function beginUpload(
  tx: Queryable,
  { config }: Pick<Services, 'config'>,
  { repository_id, user_id }: UploadOwner,
): Promise<Upload> {
  const id = randomUUID();
  const begun = await tx.execute(sql`
    insert into container_upload (id, repository_id, user_id) select ${id}::uuid, ${repository_id}::uuid, ${user_id}::int from ${LATER}
    where (select count(*) from container_upload where user_id = ${user_id}::int
      and pulp_last_updated > now() - make_interval(mins => ${ACTIVE_MINUTES})) < ${config.DECKLE_UPLOADS_PER_USER}::int`);
  if (begun === 0) throw tooManyUploads(config.DECKLE_UPLOADS_PER_USER);
  return { id, repository_id, received: 0, body: null, parts: [] };
}

/** Condition on a row of uploads. */
export const isAt = ({ id, repository_id, user_id }: UploadAddress): Sql => sql`
  id = ${id}::uuid and repository_id = ${repository_id}::uuid and user_id = ${user_id}::int`;

/** The user's upload to this repository. Throws RegistryError (404) where there is none of this id. */
export async function findUpload({ db }: Pick<Services, 'db'>, address: UploadAddress): Promise<Upload> {
  const [row] = await db.query<Omit<Upload, 'parts'> & { parts: unknown }>(sql`
    select id, repository_id, received, body, parts from container_upload where ${isAt(address)}`);
  if (!row) throw uploadUnknown(address.id);
  return { ...row, parts: partsSchema.parse(row.parts) };
}

/**
 * Adds bytes to an upload and answers how many it has then. Throws RegistryError: 413 where they are too many, 400 where they come in too
 * many pieces, 416 or 404 where somebody else added to the upload, or ended it, meanwhile. Nothing of the bytes stays then.
 */
export async function appendToUpload(services: UploadServices, upload: Upload, incoming: IncomingBytes): Promise<number> {
  const { db, storage } = services;
  const { bytes, most } = incoming;
  await requireRoom(services, upload, incoming);
  if (upload.parts.length >= MAX_PARTS) throw tooManyChunks(MAX_PARTS);
  const begin = upload.parts.length === 0 ? (upload.body ?? Buffer.alloc(0)) : undefined;
  const source = begin ? following([begin], bytes) : bytes;
  const before = begin ? 0 : upload.received;
  const received = await ReceivedBlob.receive(source, { wanted: ['sha256'], most, before }, storage);
  try {
    const size = before + received.size;
    const kept = begin && received.held;
    const part = kept || received.size === 0 ? undefined : await keepPart(received);
    const files = part ? [...upload.parts, part] : upload.parts;
    const added = await db.execute(sql`
      update container_upload set received = ${size}::bigint, body = ${kept ?? null}::bytea, parts = ${JSON.stringify(files)}::jsonb,
        pulp_last_updated = now()
      from ${LATER}
      where id = ${upload.id}::uuid and received = ${upload.received}::bigint`);
    if (added > 0) return size;
    if (part) await removeParts(services, [part]);
    throw await overtaken(db, upload);
  } finally {
    await received.drop();
  }
}

async function keepPart(received: ReceivedBlob): Promise<UploadPart> {
  const { sha256 } = received.checksums;
  if (sha256 === undefined) throw new Error('a part of an upload came whose sha256 was not computed');
  const id = randomUUID();
  await received.store(pushedPartKey(id));
  return { id, size: received.size, sha256 };
}

/** What became of an upload that is not as it was a moment ago. */
async function overtaken(db: Queryable, { id }: Upload): Promise<Error> {
  const [row] = await db.query<{ received: number }>(sql`select received from container_upload where id = ${id}::uuid`);
  return row ? uploadOutOfOrder(row.received) : uploadUnknown(id);
}

/** Takes the upload away, as the first of all who would; its files are the caller's then. Throws RegistryError (404, 416). */
export async function takeUpload(tx: Queryable, upload: Upload): Promise<void> {
  // The repository is held first: who deletes one takes the rows in this order.
  const taken = await tx.execute(sql`
    with held as materialized (select id from repository where id = ${upload.repository_id}::uuid for key share)
    delete from container_upload u using held
    where u.id = ${upload.id}::uuid and u.repository_id = held.id and u.received = ${upload.received}::bigint`);
  if (taken === 0) throw await overtaken(tx, upload);
}

/** Ends an upload that is given up, with all that has come of it. */
export async function endUpload(services: UploadServices, upload: Upload): Promise<void> {
  await takeUpload(services.db, upload);
  await removeParts(services, upload.parts);
}

/** Removes files that no upload names any more. What cannot be removed now is left to `sweepUploads`. */
export async function removeParts({ storage, log }: UploadServices, files: readonly UploadPart[]): Promise<void> {
  for (const { id } of files) {
    try {
      await storage.delete(pushedPartKey(id));
    } catch (error) {
      log.warn({ err: error, part: id }, 'a part of a pushed blob could not be removed; the sweeper will');
    }
  }
}
