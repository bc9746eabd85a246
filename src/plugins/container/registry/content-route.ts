import type { FastifyInstance } from 'fastify';
import { servedVersion } from '../../../core/plugin-api.ts';
import { answerBlob } from './blob-answer.ts';
import { nameUnknown } from './registry-error.ts';
import { parseContentPath } from './registry-path.ts';
import type { ServedRegistry } from './served-registry.ts';

/** `/pulp/container/<base_path>/blobs/<digest>`: the same blobs for whoever holds a signed URL, as Pulp's content app gives them. */
export function contentRoute(app: FastifyInstance, registry: ServedRegistry): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/pulp/container/*',
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const url = new URL(request.url, 'http://localhost');
      const { signed, name, digest } = parseContentPath(url.pathname);
      if (!registry.contentUrls.verify(signed, url.searchParams)) {
        return reply.code(403).type('text/plain; charset=utf-8').send('403: Access not authenticated');
      }
      const distribution = await registry.distributions.find(name);
      const version = distribution && servedVersion(distribution);
      if (!version) throw nameUnknown(name);
      await answerBlob(registry, { request: request.raw, response: reply.raw }, version, digest);
      return reply.hijack();
    },
  });
}
