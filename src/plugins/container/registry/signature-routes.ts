import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { MissingRepositoryError } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import { parseBoundedJson } from '../oci/bounded-json.ts';
import { firstIssue } from '../oci/manifest-schema.ts';
import { RegistryError as InvalidSignatureError } from '../oci/registry-error.ts';
import { parseSignature, type Signature } from '../oci/signature.ts';
import { MAX_SIGNATURE_BYTES } from '../oci/signature-source.ts';
import { findManifest, pushSignature } from '../push/signature.ts';
import { sendJson } from './json-answer.ts';
import { writableRepository } from './push-access.ts';
import { bodyOf, type PushRequest } from './push-request.ts';
import { announce } from './push-routes.ts';
import { manifestUnknown, nameUnknown, signatureInvalid, signatureTooLarge, unsupported } from './registry-error.ts';
import { parseSignaturesPath } from './registry-path.ts';
import { readable } from './request-access.ts';
import { listSignatures } from './signatures.ts';

/** Answers the signature extension: GET and HEAD the signatures of a manifest, PUT adds one (spec: registry; oci, Extension API). */
export async function answerSignatures(asked: PushRequest): Promise<FastifyReply> {
  const { registry, request, reply, url } = asked;
  const { name, digest } = parseSignaturesPath(url.pathname);
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      const { version } = await readable(registry, request, name);
      if (!(await registry.manifests.find(version, digest))) throw manifestUnknown(digest);
      return sendJson(reply, { signatures: await listSignatures(registry.services.db, version, digest) });
    }
    case 'PUT':
      return putSignature(asked, name, digest);
    default:
      throw unsupported(request.method, 'GET, HEAD, PUT');
  }
}

async function putSignature(asked: PushRequest, name: string, digest: Digest): Promise<FastifyReply> {
  const { registry, request, reply } = asked;
  const access = await writableRepository(registry, request, name);
  const { repository_id } = access;
  if (!(await findManifest(registry.services.db, repository_id, digest))) throw manifestUnknown(digest);
  const signature = parsed(await bodyOf(asked, MAX_SIGNATURE_BYTES, signatureTooLarge), digest);
  try {
    if (!(await pushSignature(registry.services, { repository_id, digest, signature }))) throw manifestUnknown(digest);
  } catch (error) {
    if (!(error instanceof MissingRepositoryError)) throw error;
    throw nameUnknown(name);
  }
  await announce(asked, access, `${name}@${digest}`, { signature: signature.name });
  return reply
    .code(201)
    .headers({ location: `/extensions/v2/${name}/signatures/${digest}`, 'content-length': '0' })
    .send();
}

/** What clients send; the part of the name behind the digest is theirs to choose, and is not kept. */
const bodySchema = z.object({
  schemaVersion: z.literal(2),
  type: z.literal('atomic'),
  name: z.string().regex(/^[^@]+@[0-9a-f]{32}$/, 'is not of the form <digest>@<32 hexadecimal digits>'),
  content: z.base64(),
});

/** Throws RegistryError (400). */
function parsed(bytes: Buffer, digest: Digest): Signature {
  try {
    const body = bodySchema.safeParse(parseBoundedJson(bytes, 'signature', 'The body'));
    if (!body.success) throw signatureInvalid(digest, `The body is no signature: ${firstIssue(body.error)}`);
    if (!body.data.name.startsWith(`${digest}@`))
      throw signatureInvalid(digest, 'The name is that of a signature of something else.');
    return parseSignature(Buffer.from(body.data.content, 'base64'), digest);
  } catch (error) {
    if (error instanceof InvalidSignatureError) throw signatureInvalid(digest, error.message);
    throw error;
  }
}
