import type { FastifyInstance, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Bodies of the route may be of any size, and take any time as long as something comes. */
    takesFiles?: boolean;
  }
}

const DEADLINE_MS = 300_000;

const hasBody = ({ headers }: FastifyRequest): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] !== undefined && headers['content-length'] !== '0');

/**
 * Cuts off who holds a connection by a body that does not come: an ordinary one, which is small, has to be whole within `ms`; one with
 * files must not be silent for so long. Stands in for the server's own limit, which knows only of whole requests.
 */
export function registerBodyDeadline(app: FastifyInstance, ms = DEADLINE_MS): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { raw } = request;
    if (hasBody(request)) {
      const cut = () => raw.destroy(new Error(`the body of the request did not come within ${ms} ms`));
      if (request.routeOptions.config.takesFiles) raw.setTimeout(ms, cut);
      else {
        const timer = setTimeout(cut, ms).unref();
        raw.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
      }
    }
    done();
  });
}
