import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MissingRepositoryError, servedVersion, writeAudit } from '../../../core/plugin-api.ts';
import { isForeignKeyViolation } from '../../../kit/conflicts.ts';
import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { type BlobPush, finishUpload, mountBlob } from '../push/blob.ts';
import { deleteBlob, deleteManifest, deleteTag } from '../push/delete.ts';
import { pushManifest } from '../push/manifest.ts';
import { repositoryOfPush } from '../push/repository.ts';
import { removeUnused } from '../push/sweep.ts';
import {
  appendToUpload,
  beginUpload,
  endUpload,
  findUpload,
  type IncomingBytes,
  type Upload,
  type UploadOwner,
} from '../push/upload.ts';
import { mayPull } from './pull-access.ts';
import { checkTakesPushes, type Writable, writable, writableRepository } from './push-access.ts';
import {
  blobUnknown,
  digestInvalid,
  manifestTooLarge,
  manifestUnknown,
  nameUnknown,
  RegistryError,
  sizeInvalid,
  tagInvalid,
  unsupported,
  uploadOutOfOrder,
} from './registry-error.ts';
import type { RegistryPath } from './registry-path.ts';
import { isGuardedByPulls } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

/** A request of the Registry API that changes something, or asks for an upload. */
export interface PushRequest {
  readonly registry: ServedRegistry;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly url: URL;
}

export type PathOf<Kind extends RegistryPath['kind']> = Extract<RegistryPath, { kind: Kind }>;

const GB = 1024 ** 3;
/** How often a repository is made that goes before it is used. */
const REPOSITORY_TRIES = 3;

/** What the request says; 0 where it does not. */
const lengthOf = ({ request }: PushRequest): number => Number(request.headers['content-length'] ?? 0);

/**
 * The bytes of the request as they come; none where it has no body. Who reads no further leaves the connection as it is, for the answer.
 * Throws RegistryError (400) where they break off, or are not as many as `wanted`, if that is given.
 */
async function* bytesOf({ request: { body } }: PushRequest, wanted?: number): AsyncGenerator<Buffer, void, undefined> {
  let size = 0;
  try {
    for await (const chunk of body instanceof Readable ? body.iterator({ destroyOnReturn: false }) : []) {
      size += (chunk as Buffer).byteLength;
      if (wanted !== undefined && size > wanted) break;
      yield chunk as Buffer;
    }
  } catch (cause) {
    throw new RegistryError(400, 'SIZE_INVALID', 'The body of the request broke off.', { cause });
  }
  if (wanted !== undefined && size !== wanted) throw sizeInvalid(`The chunk has not the ${wanted} bytes of its range.`);
}

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
  const upload = await inRepository(asked, access, name, (repository_id) =>
    beginUpload(registry.services, { repository_id, user_id: access.caller.id }),
  );
  if (!digest) return uploadAnswer(reply.code(202), { name, id: upload.id, received: 0 }).send();
  await finish(asked, { ...incoming(asked), digest }, upload);
  return blobCreated(reply, name, digest);
}

/**
 * Does the work with the repository that is pushed to, made where it is not there yet; once more where it went meanwhile, as one does that
 * another push made and came to nothing with. Throws RegistryError.
 */
async function inRepository<T>(
  asked: PushRequest,
  access: Writable,
  name: string,
  work: (repositoryId: string) => Promise<T>,
): Promise<T> {
  const { registry, request } = asked;
  for (let tries = REPOSITORY_TRIES, found = access; ; tries -= 1) {
    const repository_id = await repositoryOf(registry, found, name);
    try {
      return await work(repository_id);
    } catch (error) {
      if (!isForeignKeyViolation(error)) {
        await leaveNothing(asked, repository_id);
        throw error;
      }
      registry.distributions.forget(name);
      if (tries === 1) throw nameUnknown(name);
      // To make it takes another right than to push to it.
      found = await writable(registry, request, name);
    }
  }
}

/** Ends an upload with the bytes of the request; where it fails, a repository that was made for it, and has nothing else, goes. */
async function finish(asked: PushRequest, push: BlobPush, upload: Upload): Promise<void> {
  const { services } = asked.registry;
  try {
    await finishUpload(services, push, upload);
  } catch (error) {
    await leaveNothing(asked, upload.repository_id);
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

/** The repository that is pushed to, made where it is not there yet. Throws RegistryError. */
async function repositoryOf(registry: ServedRegistry, { caller, distribution }: Writable, name: string): Promise<string> {
  if (distribution) checkTakesPushes(registry, distribution);
  if (distribution?.repository_id) return distribution.repository_id;
  const made = await repositoryOfPush(registry.services, caller, name);
  await registry.services.db.seenEverywhere();
  return made;
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
  return inRepository(asked, access, name, (repository_id) => mountBlob(registry.services, content_id, repository_id));
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
  const { registry, request, reply, url } = asked;
  const { services } = registry;
  const { caller, repository_id } = await writableRepository(registry, request, name);
  const owner: UploadOwner = { repository_id, user_id: caller.id };
  const upload = await findUpload(services, id, owner);
  const state: UploadState = { name, id, received: upload.received };
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return reply.code(204).headers(uploadHeaders(state)).send();
    case 'PATCH': {
      const received = await appendToUpload(services, upload, incoming(asked, chunkLength(asked, state)));
      return uploadAnswer(reply.code(202), { name, id, received }).send();
    }
    case 'PUT': {
      const digest = digestIn(url);
      if (!digest) throw digestInvalid('');
      await finish(asked, { ...incoming(asked, chunkLength(asked, state)), digest }, upload);
      return blobCreated(reply, name, digest);
    }
    case 'DELETE':
      await endUpload(services, upload);
      await dropUnused(registry, repository_id);
      return reply.code(204).send();
    default:
      throw unsupported(request.method, 'GET, HEAD, PATCH, PUT, DELETE');
  }
}

const RANGE = /^(?:bytes )?(\d+)-(\d+)(?:\/(?:\d+|\*))?$/;

/**
 * A chunk says where it belongs (OCI distribution-spec, "Pushing a blob in chunks"). Answers how many bytes it has to have; undefined where it
 * does not say. Throws RegistryError: 416 for one that belongs elsewhere, 400 for another length.
 */
function chunkLength(asked: PushRequest, state: UploadState): number | undefined {
  const header = asked.request.headers['content-range'];
  if (header === undefined) return undefined;
  const [, first, last] = RANGE.exec(header) ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first) || Number(first) !== state.received)
    throw uploadOutOfOrder(state.received, uploadHeaders(state));
  const length = Number(last) - Number(first) + 1;
  const stated = asked.request.headers['content-length'];
  if (stated !== undefined && Number(stated) !== length) throw sizeInvalid(`The chunk has ${stated} bytes, its range ${length}.`);
  return length;
}

/** Further tags that one request may name. */
const MAX_TAGS = 100;

/** Answers PUT and DELETE of a manifest. */
export async function answerManifest(asked: PushRequest, path: PathOf<'manifest'>): Promise<FastifyReply> {
  const { registry, request } = asked;
  if (request.method !== 'PUT' && request.method !== 'DELETE') throw unsupported(request.method, 'GET, HEAD, PUT, DELETE');
  const access = await writableRepository(registry, request, path.name);
  const answer = request.method === 'PUT' ? putManifest : removeManifest;
  return whileThere(path.name, () => answer(asked, path, access));
}

/** Does the work on the repository of that name. Throws RegistryError (404) where it has gone meanwhile. */
async function whileThere<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MissingRepositoryError)) throw error;
    throw nameUnknown(name);
  }
}

type Access = Awaited<ReturnType<typeof writableRepository>>;

async function putManifest(asked: PushRequest, { name, reference }: PathOf<'manifest'>, access: Access): Promise<FastifyReply> {
  const { registry, request, reply, url } = asked;
  const { repository_id } = access;
  const body = await bodyOf(asked, MAX_MANIFEST_BYTES, manifestTooLarge);
  const digest = parseDigest(reference);
  const tags = digest ? tagsIn(url) : [reference];
  const contentType = request.headers['content-type'];
  const pushed = { repository_id, body, contentType, digest, tags };
  const manifest = await registry.turns(repository_id, () => pushManifest(registry.services, pushed));
  await registry.services.db.seenEverywhere();
  await noteChange(asked, access, `${name}${digest ? `@${digest}` : `:${reference}`}`, { digest: manifest.digest, tags });
  return reply
    .code(201)
    .headers({
      location: `/v2/${name}/manifests/${manifest.digest}`,
      'docker-content-digest': manifest.digest,
      'content-length': '0',
      ...(manifest.subject === undefined ? {} : { 'oci-subject': manifest.subject }),
      ...(digest && tags.length > 0 ? { 'oci-tag': tags.join(', ') } : {}),
    })
    .send();
}

/** `?tag=…&tag=…`: what a manifest that is sent by its digest is to be called. Throws RegistryError (400). */
function tagsIn({ searchParams }: URL): string[] {
  const tags = [...new Set(searchParams.getAll('tag'))];
  const bad = tags.find((tag) => !isTag(tag));
  if (bad !== undefined) throw tagInvalid(bad);
  if (tags.length > MAX_TAGS) throw new RegistryError(400, 'TAG_INVALID', `At most ${MAX_TAGS} tags can be given at once.`);
  return tags;
}

/** The bytes of the request. Throws what `tooLarge` makes where they are more than `most`. */
export async function bodyOf(asked: PushRequest, most: number, tooLarge: (most: number) => RegistryError): Promise<Buffer> {
  if (lengthOf(asked) > most) throw tooLarge(most);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(asked)) {
    size += chunk.byteLength;
    if (size > most) throw tooLarge(most);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function removeManifest(
  asked: PushRequest,
  { name, reference }: PathOf<'manifest'>,
  access: Access,
): Promise<FastifyReply> {
  const { registry, reply } = asked;
  const digest = parseDigest(reference);
  const { repository_id } = access;
  const removed = await registry.turns(repository_id, () =>
    digest ? deleteManifest(registry.services, repository_id, digest) : deleteTag(registry.services, repository_id, reference),
  );
  if (!removed) throw manifestUnknown(reference);
  await registry.services.db.seenEverywhere();
  await noteChange(asked, access, `${name}${digest ? '@' : ':'}${reference}`);
  return reply.code(202).header('content-length', '0').send();
}

/** Answers DELETE of a blob. */
export async function answerBlobRemoval(
  asked: PushRequest,
  { name, digest }: { name: string; digest: Digest },
): Promise<FastifyReply> {
  const { registry, request, reply } = asked;
  if (request.method !== 'DELETE') throw unsupported(request.method, 'GET, HEAD, DELETE');
  const { repository_id } = await writableRepository(registry, request, name);
  const remove = () => registry.turns(repository_id, () => deleteBlob(registry.services, repository_id, digest));
  if (!(await whileThere(name, remove))) throw blobUnknown(digest);
  await registry.services.db.seenEverywhere();
  return reply.code(202).header('content-length', '0').send();
}

/** Notes a change of what is served in the audit log (security rule 16). */
export const noteChange = (
  { registry, request }: PushRequest,
  { caller }: Access,
  object: string,
  after?: Readonly<Record<string, unknown>>,
): Promise<void> =>
  writeAudit(registry.services.db, {
    user_id: caller.id,
    username: caller.username,
    address: request.ip,
    authentication: registry.services.config.PULP_TOKEN_AUTH_DISABLED ? 'password' : 'token',
    method: request.method,
    operation: 'push',
    object,
    ...(after ? { after } : {}),
    status: request.method === 'PUT' ? 201 : 202,
    correlation_id: request.id,
  });
