import type { FastifyReply, FastifyRequest } from 'fastify';
import { signatureUnknown } from './registry-error.ts';
import type { LookasidePath } from './registry-path.ts';
import { readableByUser } from './request-access.ts';
import type { ServedRegistry } from './served-registry.ts';
import { findSignature } from './signatures.ts';

/**
 * Answers one signature of a manifest, the first being number 1, as lookaside servers do (containers/image docs/signature-protocols.md): clients
 * count on until 404. They bring no token, but may bring user and password; what is public takes neither.
 */
export async function answerLookaside(
  registry: ServedRegistry,
  request: FastifyRequest,
  reply: FastifyReply,
  { name, digest, number }: LookasidePath,
): Promise<FastifyReply> {
  const { version } = await readableByUser(registry, request, name);
  const signature = await findSignature(registry.services.db, version, digest, number);
  if (!signature) throw signatureUnknown(digest, number);
  return reply.type('application/octet-stream').send(signature);
}
