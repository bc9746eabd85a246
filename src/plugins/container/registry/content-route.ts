import type { FastifyInstance } from 'fastify';
import { answerBlob } from './blob-answer.ts';
import { STANDING_HEADERS } from './headers.ts';
import { errorBody, nameUnknown, RegistryError } from './registry-error.ts';
import { checkedDigest } from './registry-path.ts';
import { servedVersion } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

const PATH = /^\/pulp\/container\/(.+)\/blobs\/([^/]+)$/;

/** `/pulp/container/<base_path>/blobs/<digest>`: the same blobs for whoever holds a signed URL, as Pulp's content app gives them. */
export function contentRoutes(app: FastifyInstance, registry: ServedRegistry): void {
  app.route({
    method: 'GET',
    url: '/pulp/container/*',
    handler: async (request, reply) => {
      const url = new URL(request.url, 'http://localhost');
      const path = decodeURIComponent(url.pathname);
      const [, basePath, digest] = PATH.exec(path) ?? [];
      if (basePath === undefined || digest === undefined) return reply.code(404).type('text/plain').send('404: Not Found');
      if (!registry.contentUrls.verify(path, url.searchParams)) {
        return reply.code(403).type('text/plain; charset=utf-8').send('403: Access not authenticated');
      }
      reply.headers(STANDING_HEADERS);
      try {
        const distribution = await registry.distributions.find(basePath);
        const version = distribution && servedVersion(distribution);
        if (!version) throw nameUnknown(basePath);
        await answerBlob(registry, { request: request.raw, response: reply.raw }, version, checkedDigest(digest));
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        return reply.code(error.status).headers(error.headers).type('application/json').send(errorBody(error));
      }
      return reply.hijack();
    },
  });
}
