import type { FastifyInstance } from 'fastify';
import { guardedRequest, servedVersion } from '../../../core/plugin-api.ts';
import { answerBlob } from './blob-answer.ts';
import { answerLookaside } from './lookaside.ts';
import { nameUnknown } from './registry-error.ts';
import { parseContentPath, parseLookasidePath } from './registry-path.ts';
import type { ServedRegistry } from './served-registry.ts';

/** `/pulp/container/<base_path>/blobs/<digest>`: the same blobs for whoever the distribution's guard lets pass, as Pulp's content app gives them; and signatures, below `/pulp/container/sigstore/`. */
export function contentRoute(app: FastifyInstance, registry: ServedRegistry): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/pulp/container/*',
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const { pathname } = new URL(request.url, 'http://localhost');
      const signature = parseLookasidePath(pathname);
      if (signature) return answerLookaside(registry, request, reply, signature);
      const { signed, name, digest } = parseContentPath(pathname);
      const distribution = await registry.distributions.find(name);
      const asked = guardedRequest({ authenticator: registry.authenticator, db: registry.services.db }, request, signed);
      // Whoever was not sent here learns nothing of names, and nothing of what a deleted guard has left open.
      const refusal = distribution?.content_guard_id
        ? await registry.guards.refusal(distribution, asked)
        : registry.guards.unsigned(asked);
      if (refusal !== undefined) return reply.code(403).type('text/plain; charset=utf-8').send(`403: ${refusal}`);
      const version = distribution && servedVersion(distribution);
      if (!version) throw nameUnknown(name);
      await answerBlob(registry, { request: request.raw, response: reply.raw }, version, digest);
      return reply.hijack();
    },
  });
}
