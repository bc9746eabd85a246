import type { FastifyReply, FastifyRequest } from 'fastify';
import { servedVersion } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { isForeignKeyViolation } from '../../../kit/conflicts.ts';
import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { isRepositoryName } from '../oci/reference.ts';
import { type BlobPush, finishUpload, mountBlob } from '../push/blob.ts';
import { finishHeld, holdFirst } from '../push/held-blob.ts';
import { beginningOf, following, HELD_BYTES } from '../push/received-blob.ts';
import { inRepositoryOfPush } from '../push/repository.ts';
import { removeUnused } from '../push/sweep.ts';
import {
  appendToUpload,
  beginUpload,
  endUpload,
  findUpload,
  type IncomingBytes,
  type Upload,
  type UploadAddress,
} from '../push/upload.ts';
import { mayPull } from './pull-access.ts';
import { checkTakesPushes, type Writable, writable, writableRepository } from './push-access.ts';
import { bytesOf, lengthOf, type PathOf, type PushRequest } from './push-request.ts';
import { digestInvalid, sizeInvalid, unsupported, uploadOutOfOrder } from './registry-error.ts';
import { isGuardedByPulls } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

const GB = 1024 ** 3;

/** What comes for an upload with the request: `wanted` bytes, if that is given. */
const incoming = (asked: PushRequest, wanted?: number): IncomingBytes => ({
  bytes: bytesOf(asked, wanted),
  length: lengthOf(asked),
  most: asked.registry.services.config.DECKLE_MAX_BLOB_GB * GB,
});

/** Answers POST on the uploads of a repository: a new upload, a whole blob, or one that another repository has. */
export async function answerUploads(asked: PushRequest, { name }: PathOf<'uploads'>): Promise<FastifyReply> {
  const { registry, request, reply, url } = asked;
  if (request.method !== 'POST') throw unsupported(request.method, 'POST');
  const access = await writable(registry, request, name);
  const digest = digestIn(url);
  const mounted = mountIn(url);
  const isMounted = !digest && mounted && (await mount(asked, access, name, mounted));
  if (isMounted) return blobCreated(reply, name, mounted.digest);
  const upload = await inRepository(asked, access, name, (tx, repository_id) =>
    beginUpload(tx, registry.services, { repository_id, user_id: access.caller.id }),
  );
  if (!digest) return uploadAnswer(reply.code(202), { name, id: upload.id, received: 0 }).send();
  await finish(asked, { ...incoming(asked), digest }, upload);
  return blobCreated(reply, name, digest);
}

/**
 * Does the work with the repository that is pushed to, in one transaction with its making where it is not there yet: one that another push
 * made, and came to nothing with, goes again. Throws RegistryError.
 */
async function inRepository<T>(
  asked: PushRequest,
  access: Writable,
  name: string,
  work: (tx: Queryable, repositoryId: string) => Promise<T>,
): Promise<T> {
  const { registry, request } = asked;
  const { db } = registry.services;
  const make = async ({ caller, distribution }: Writable) => {
    if (distribution) checkTakesPushes(registry, distribution);
    const done = await inRepositoryOfPush(registry.services, caller, name, work);
    await db.seenEverywhere();
    return done;
  };
  const { distribution } = access;
  if (!distribution?.repository_id) return make(access);
  checkTakesPushes(registry, distribution);
  try {
    return await work(db, distribution.repository_id);
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error;
    registry.distributions.forget(name);
    // To make it takes another right than to push to it.
    return make(await writable(registry, request, name));
  }
}

/** Ends an upload with the bytes of the request. Throws RegistryError. */
const finish = (asked: PushRequest, push: BlobPush, upload: Upload): Promise<void> =>
  orNothing(asked, upload.repository_id, () => finishUpload(asked.registry.services, push, upload));

/** Does the work; where it fails, a repository that was made for it, and has nothing else, goes. */
async function orNothing<T>(asked: PushRequest, repositoryId: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await leaveNothing(asked, repositoryId);
    throw error;
  }
}

/** After a failure: a repository that was made for what failed, and has nothing else, goes. */
async function leaveNothing({ registry, request }: PushRequest, repositoryId: string): Promise<void> {
  await dropUnused(registry, repositoryId).catch((err: unknown) => {
    request.log.warn({ err, repository_id: repositoryId }, 'what a failed push has made could not be removed; the sweeper will');
  });
}

async function dropUnused({ services }: ServedRegistry, repositoryId: string): Promise<void> {
  if (await removeUnused(services, repositoryId)) await services.db.seenEverywhere();
}

/** `?digest=`. Throws RegistryError (400) where it is none. */
function digestIn(url: URL): Digest | undefined {
  const text = url.searchParams.get('digest');
  if (text === null) return undefined;
  const digest = parseDigest(text);
  if (!digest) throw digestInvalid(text);
  return digest;
}

interface Mount {
  readonly digest: Digest;
  readonly from: string;
}

/** `?mount=…&from=…`; what cannot be mounted is uploaded (OCI distribution-spec, "Mounting a blob from another repository"). */
function mountIn({ searchParams }: URL): Mount | undefined {
  const digest = parseDigest(searchParams.get('mount') ?? '');
  const from = searchParams.get('from');
  return digest && from !== null && isRepositoryName(from) ? { digest, from } : undefined;
}

/**
 * Whether the blob is the repository's now. One that is not stored here is not mounted, nor one that the caller, with this token, may not
 * pull, or that a further guard protects.
 */
async function mount(asked: PushRequest, access: Writable, name: string, { digest, from }: Mount): Promise<boolean> {
  const { registry } = asked;
  const source = await registry.distributions.find(from);
  const version = source && servedVersion(source);
  // Of what its scope does not name, a token opens no more than is open to nobody.
  const reader = access.pulls === undefined || access.pulls.has(from) ? access.caller : null;
  if (!version || !isGuardedByPulls(source) || !(await mayPull(registry.services, reader, from, source))) return false;
  const blob = await registry.blobs.find(version, digest);
  if (!blob?.stored) return false;
  const { content_id } = blob;
  return inRepository(asked, access, name, (tx, repository_id) => mountBlob(tx, content_id, repository_id));
}

const blobCreated = (reply: FastifyReply, name: string, digest: Digest): FastifyReply =>
  reply
    .code(201)
    .headers({ location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest, 'content-length': '0' })
    .send();

interface UploadState {
  readonly name: string;
  readonly id: string;
  /** Bytes. */
  readonly received: number;
}

const uploadHeaders = ({ name, id, received }: UploadState): Record<string, string> => ({
  location: `/v2/${name}/blobs/uploads/${id}`,
  'docker-upload-uuid': id,
  range: `0-${Math.max(0, received - 1)}`,
});

const uploadAnswer = (reply: FastifyReply, state: UploadState): FastifyReply =>
  reply.headers({ ...uploadHeaders(state), 'content-length': '0' });

/** Answers requests for an upload: GET and HEAD how far it has come, PATCH adds to it, PUT ends it, DELETE drops it. */
export async function answerUpload(asked: PushRequest, { name, id }: PathOf<'upload'>): Promise<FastifyReply> {
  const { registry, request, reply } = asked;
  const { services } = registry;
  const { caller, repository_id } = await writableRepository(registry, request, name);
  const address: UploadAddress = { id, repository_id, user_id: caller.id };
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      const { received } = await findUpload(services, address);
      return reply.code(204).headers(uploadHeaders({ name, id, received })).send();
    }
    case 'PATCH':
      return uploadAnswer(reply.code(202), { name, id, received: await append(asked, name, address) }).send();
    case 'PUT': {
      const digest = digestIn(asked.url);
      if (!digest) throw digestInvalid('');
      await end(asked, name, address, digest);
      return blobCreated(reply, name, digest);
    }
    case 'DELETE':
      await endUpload(services, await findUpload(services, address));
      await dropUnused(registry, repository_id);
      return reply.code(204).send();
    default:
      throw unsupported(request.method, 'GET, HEAD, PATCH, PUT, DELETE');
  }
}

/** Adds the bytes of the request to an upload; answers how many it has then. */
async function append(asked: PushRequest, name: string, address: UploadAddress): Promise<number> {
  const { services } = asked.registry;
  // What says where it belongs, or that it is much, is not taken before it is known to be welcome.
  if (asked.request.headers['content-range'] !== undefined || lengthOf(asked) > HELD_BYTES) {
    const upload = await findUpload(services, address);
    return appendToUpload(services, upload, incoming(asked, chunkLength(asked, name, upload)));
  }
  const bytes = bytesOf(asked);
  const { begin, isAll } = await beginningOf(bytes);
  if (isAll && (await holdFirst(services, address, begin))) return begin.byteLength;
  const upload = await findUpload(services, address);
  return appendToUpload(services, upload, { ...incoming(asked), bytes: following([begin], bytes) });
}

/** Ends an upload, with the bytes of the request where there are some. Throws RegistryError. */
async function end(asked: PushRequest, name: string, address: UploadAddress, digest: Digest): Promise<void> {
  const { request, registry } = asked;
  if (request.headers['content-range'] === undefined && hasNoBody(request)) {
    const isDone = await orNothing(asked, address.repository_id, () => finishHeld(registry.services, address, digest));
    if (isDone) return;
  }
  const upload = await findUpload(registry.services, address);
  await finish(asked, { ...incoming(asked, chunkLength(asked, name, upload)), digest }, upload);
}

const hasNoBody = ({ headers }: FastifyRequest): boolean =>
  Number(headers['content-length'] ?? 0) === 0 && headers['transfer-encoding'] === undefined;

const RANGE = /^(?:bytes )?(\d+)-(\d+)(?:\/(?:\d+|\*))?$/;

/**
 * A chunk says where it belongs (OCI distribution-spec, "Pushing a blob in chunks"). Answers how many bytes it has to have; undefined where it
 * does not say. Throws RegistryError: 416 for one that belongs elsewhere, 400 for another length.
 */
function chunkLength(asked: PushRequest, name: string, { id, received }: Upload): number | undefined {
  const header = asked.request.headers['content-range'];
  if (header === undefined) return undefined;
  const [, first, last] = RANGE.exec(header) ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first) || Number(first) !== received)
    throw uploadOutOfOrder(received, uploadHeaders({ name, id, received }));
  const length = Number(last) - Number(first) + 1;
  const stated = asked.request.headers['content-length'];
  if (stated !== undefined && Number(stated) !== length) throw sizeInvalid(`The chunk has ${stated} bytes, its range ${length}.`);
  return length;
}
