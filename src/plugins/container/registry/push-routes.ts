import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { MissingRepositoryError, requireSpace, servedVersion, writeAudit } from '../../../core/plugin-api.ts';
import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { finishUpload, mountBlob, pushBlob } from '../push/blob.ts';
import { deleteBlob, deleteManifest, deleteTag } from '../push/delete.ts';
import { pushManifest } from '../push/manifest.ts';
import { repositoryOfPush } from '../push/repository.ts';
import { removeUnused } from '../push/sweep.ts';
import { appendToUpload, beginUpload, endUpload, findUpload, type UploadOwner } from '../push/upload.ts';
import { checkTakesPushes, type Writable, writable, writableRepository } from './push-access.ts';
import {
  blobUnknown,
  digestInvalid,
  manifestTooLarge,
  manifestUnknown,
  nameUnknown,
  RegistryError,
  sizeInvalid,
  unsupported,
  uploadOutOfOrder,
} from './registry-error.ts';
import type { RegistryPath } from './registry-path.ts';
import { may } from './request-access.ts';
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

/** The bytes of the request as they come; none where it has no body. */
const bytesOf = ({ request }: PushRequest): Readable => (request.body instanceof Readable ? request.body : Readable.from([]));

const lengthOf = ({ request }: PushRequest): number => Number(request.headers['content-length'] ?? 0);

const mostOf = ({ registry }: PushRequest): number => registry.services.config.DECKLE_MAX_BLOB_GB * GB;

/** Answers POST on the uploads of a repository: a new upload, a whole blob, or one that another repository has. */
export async function answerUploads(asked: PushRequest, { name }: PathOf<'uploads'>): Promise<FastifyReply> {
  const { registry, request, reply, url } = asked;
  if (request.method !== 'POST') throw unsupported(request.method, 'POST');
  const access = await writable(registry, request, name);
  const digest = digestIn(url);
  const mounted = mountIn(url);
  const repository_id = await repositoryOf(registry, access, name);
  if (digest) {
    await requireSpace(registry.services, lengthOf(asked));
    await pushBlob(registry.services, { repository_id, digest, bytes: bytesOf(asked), most: mostOf(asked) });
    return blobCreated(reply, name, digest);
  }
  if (mounted && (await mount(registry, access, { ...mounted, repository_id }))) return blobCreated(reply, name, mounted.digest);
  const id = await beginUpload(registry.services, { repository_id, user_id: access.caller.id });
  return uploadAnswer(reply.code(202), { name, id, received: 0 }).send();
}

/** The repository that is pushed to, made where it is not there yet. Throws RegistryError. */
async function repositoryOf(registry: ServedRegistry, { caller, distribution }: Writable, name: string): Promise<string> {
  if (distribution) checkTakesPushes(registry, distribution);
  if (distribution?.repository_id) return distribution.repository_id;
  const made = await repositoryOfPush(registry.services, caller, name);
  registry.distributions.forget(name);
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

/** Whether the blob is the repository's now. One that is not stored here, or that the caller may not pull, is not mounted. */
async function mount(
  registry: ServedRegistry,
  { caller }: Writable,
  { digest, from, repository_id }: Mount & { readonly repository_id: string },
): Promise<boolean> {
  const source = await registry.distributions.find(from);
  const version = source && servedVersion(source);
  if (!version || !(await may(registry, caller, 'pull', source))) return false;
  const blob = await registry.blobs.find(version, digest);
  return blob?.stored !== undefined && mountBlob(registry.services, blob.content_id, repository_id);
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
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return reply
        .code(204)
        .headers(uploadHeaders({ name, id, received: upload.received }))
        .send();
    case 'PATCH': {
      checkRange(asked, { name, id, received: upload.received });
      await requireSpace(services, lengthOf(asked));
      const received = await appendToUpload(services, upload, bytesOf(asked), mostOf(asked));
      return uploadAnswer(reply.code(202), { name, id, received }).send();
    }
    case 'PUT': {
      const digest = digestIn(url);
      if (!digest) throw digestInvalid('');
      checkRange(asked, { name, id, received: upload.received });
      await requireSpace(services, lengthOf(asked));
      await finishUpload(services, { repository_id, digest, bytes: bytesOf(asked), most: mostOf(asked) }, upload);
      return blobCreated(reply, name, digest);
    }
    case 'DELETE':
      await endUpload(services, upload);
      if (await removeUnused(services, repository_id)) registry.distributions.forget(name);
      return reply.code(204).send();
    default:
      throw unsupported(request.method, 'GET, HEAD, PATCH, PUT, DELETE');
  }
}

const RANGE = /^(?:bytes )?(\d+)-(\d+)(?:\/(?:\d+|\*))?$/;

/** A chunk says where it belongs (OCI distribution-spec, "Pushing a blob in chunks"). Throws RegistryError: 416 elsewhere, 400 for another length. */
function checkRange(asked: PushRequest, state: UploadState): void {
  const header = asked.request.headers['content-range'];
  if (header === undefined) return;
  const [, first, last] = RANGE.exec(header) ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first) || Number(first) !== state.received)
    throw uploadOutOfOrder(state.received, uploadHeaders(state));
  const length = asked.request.headers['content-length'];
  if (length !== undefined && Number(length) !== Number(last) - Number(first) + 1)
    throw sizeInvalid(`The chunk has ${length} bytes, its range ${Number(last) - Number(first) + 1}.`);
}

/** So large a manifest has to be taken (OCI distribution-spec, "Pushing manifests"). */
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Further tags that one request may name. */
const MAX_TAGS = 100;

/** Answers PUT and DELETE of a manifest. */
export async function answerManifest(asked: PushRequest, path: PathOf<'manifest'>): Promise<FastifyReply> {
  const { registry, request } = asked;
  if (request.method !== 'PUT' && request.method !== 'DELETE') throw unsupported(request.method, 'GET, HEAD, PUT, DELETE');
  const access = await writableRepository(registry, request, path.name);
  try {
    return await (request.method === 'PUT' ? putManifest(asked, path, access) : removeManifest(asked, path, access));
  } catch (error) {
    if (!(error instanceof MissingRepositoryError)) throw error;
    registry.distributions.forget(path.name);
    throw nameUnknown(path.name);
  }
}

type Access = Awaited<ReturnType<typeof writableRepository>>;

async function putManifest(asked: PushRequest, { name, reference }: PathOf<'manifest'>, access: Access): Promise<FastifyReply> {
  const { registry, request, reply, url } = asked;
  const { repository_id } = access;
  const body = await bodyOf(asked);
  const digest = parseDigest(reference);
  const tags = digest ? tagsIn(url) : [reference];
  const contentType = request.headers['content-type'];
  const pushed = { repository_id, body, contentType, digest, tags };
  const manifest = await registry.turns(repository_id, () => pushManifest(registry.services, pushed));
  registry.distributions.forget(name);
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
  if (bad !== undefined) throw new RegistryError(400, 'TAG_INVALID', 'This is no tag.', { detail: { tag: bad } });
  if (tags.length > MAX_TAGS) throw new RegistryError(400, 'TAG_INVALID', `At most ${MAX_TAGS} tags can be given at once.`);
  return tags;
}

async function bodyOf(asked: PushRequest): Promise<Buffer> {
  if (lengthOf(asked) > MAX_MANIFEST_BYTES) throw manifestTooLarge(MAX_MANIFEST_BYTES);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(asked)) {
    size += (chunk as Buffer).byteLength;
    if (size > MAX_MANIFEST_BYTES) throw manifestTooLarge(MAX_MANIFEST_BYTES);
    chunks.push(chunk as Buffer);
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
  registry.distributions.forget(name);
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
  if (!(await registry.turns(repository_id, () => deleteBlob(registry.services, repository_id, digest))))
    throw blobUnknown(digest);
  registry.distributions.forget(name);
  return reply.code(202).header('content-length', '0').send();
}

/** Notes a change of what is served in the audit log (security rule 16). */
const noteChange = (
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
