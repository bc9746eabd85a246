import type { FastifyReply } from 'fastify';
import { MissingRepositoryError, writeAudit } from '../../../core/plugin-api.ts';
import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { isTag } from '../oci/reference.ts';
import { deleteBlob, deleteManifest, deleteTag } from '../push/delete.ts';
import { pushManifest } from '../push/manifest.ts';
import { writableRepository } from './push-access.ts';
import { bodyOf, type PathOf, type PushRequest } from './push-request.ts';
import {
  blobUnknown,
  manifestTooLarge,
  manifestUnknown,
  nameUnknown,
  RegistryError,
  tagInvalid,
  unsupported,
} from './registry-error.ts';

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
  const manifest = await pushManifest(registry.services, registry.turns, pushed);
  await announce(asked, access, `${name}${digest ? `@${digest}` : `:${reference}`}`, { digest: manifest.digest, tags });
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
  await announce(asked, access, `${name}${digest ? '@' : ':'}${reference}`);
  return reply.code(202).header('content-length', '0').send();
}

/** Answers DELETE of a blob. */
export async function answerBlobRemoval(
  asked: PushRequest,
  { name, digest }: { name: string; digest: Digest },
): Promise<FastifyReply> {
  const { registry, request, reply } = asked;
  if (request.method !== 'DELETE') throw unsupported(request.method, 'GET, HEAD, DELETE');
  const access = await writableRepository(registry, request, name);
  const { repository_id } = access;
  const remove = () => registry.turns(repository_id, () => deleteBlob(registry.services, repository_id, digest));
  if (!(await whileThere(name, remove))) throw blobUnknown(digest);
  await announce(asked, access, `${name}@${digest}`);
  return reply.code(202).header('content-length', '0').send();
}

/** After a change of what is served: notes it in the audit log (security rule 16), and waits until no server answers from before it. */
export async function announce(
  { registry, request }: PushRequest,
  { caller }: Access,
  object: string,
  after?: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { db, config } = registry.services;
  const noted = writeAudit(db, {
    user_id: caller.id,
    username: caller.username,
    address: request.ip,
    authentication: config.PULP_TOKEN_AUTH_DISABLED ? 'password' : 'token',
    method: request.method,
    operation: 'push',
    object,
    ...(after ? { after } : {}),
    status: request.method === 'PUT' ? 201 : 202,
    correlation_id: request.id,
  });
  await Promise.all([db.seenEverywhere(), noted]);
}
