import type { FastifyInstance, FastifyReply } from 'fastify';
import { sql } from '../db/sql.ts';
import type { ContentHandler, ServedPath } from '../kit/content-handler.ts';
import type { Services } from '../kit/services.ts';

/** Root of the content app; content of containers is served by the Registry API and `/pulp/container/`. */
export const CONTENT_ROOT = '/pulp/content/';

interface FoundDistribution extends Pick<ServedPath, 'distribution'> {
  readonly pulp_type: string;
}

/** `/pulp/content/`: lists the distributions that serve files, and hands each path below one to its plugin. */
export async function registerContentApp(app: FastifyInstance, services: Services): Promise<void> {
  const handlers = new Map(
    services.catalog.plugins.flatMap((plugin) => (plugin.content ? [[plugin.content.pulp_type, plugin.content] as const] : [])),
  );
  for (const url of [CONTENT_ROOT.slice(0, -1), CONTENT_ROOT]) {
    app.get(url, async (_request, reply) => {
      const names = await listDistributions(services, [...handlers.keys()]);
      return reply.type('text/html; charset=utf-8').send(indexPage(names));
    });
  }
  app.get(`${CONTENT_ROOT}*`, async (request, reply) => {
    const path = decodedPath(request.url);
    if (path === undefined) return notFound(reply);
    const found = await findDistribution(services, [...handlers.keys()], path);
    const handler: ContentHandler | undefined = found && handlers.get(found.pulp_type);
    if (!found || !handler) return notFound(reply);
    const served = { distribution: found.distribution, path: path.slice(found.distribution.base_path.length + 1) };
    const done = await handler.serve(services, served, { request: request.raw, response: reply.raw });
    return done ? reply.hijack() : notFound(reply);
  });
}

/** In the words of Pulp's content app. */
const notFound = (reply: FastifyReply): FastifyReply => reply.code(404).type('text/plain; charset=utf-8').send('404: Not Found');

/** The path below the root; undefined where it is malformed or leads out of it. */
function decodedPath(url: string): string | undefined {
  try {
    const path = decodeURIComponent((url.split('?')[0] as string).slice(CONTENT_ROOT.length));
    return path.includes('\0') || path.split('/').includes('..') ? undefined : path;
  } catch {
    return undefined;
  }
}

/** The distribution whose base path begins the path. Base paths do not overlap, so there is one at most. */
async function findDistribution(
  { db, domain }: Services,
  types: readonly string[],
  path: string,
): Promise<FoundDistribution | undefined> {
  const parts = path.split('/');
  const candidates = parts.map((_part, index) => parts.slice(0, index + 1).join('/'));
  const [row] = await db.query<ServedPath['distribution'] & { pulp_type: string }>(sql`
    select id, pulp_type, base_path, repository_id, repository_version_id from distribution
    where domain_id = ${domain.id}::uuid and pulp_type = any(${types}::text[]) and base_path = any(${candidates}::text[])`);
  if (!row) return undefined;
  const { pulp_type, ...distribution } = row;
  return { pulp_type, distribution };
}

async function listDistributions({ db, domain }: Services, types: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ base_path: string }>(sql`
    select base_path from distribution
    where domain_id = ${domain.id}::uuid and pulp_type = any(${types}::text[]) and not hidden order by base_path`);
  return rows.map((row) => row.base_path);
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function indexPage(basePaths: readonly string[]): string {
  const links = basePaths.map((path) => `<a href="${encodeURI(path)}/">${escaped(path)}/</a>`);
  const title = `Index of ${CONTENT_ROOT}`;
  return `<!doctype html>\n<html>\n<head><title>${title}</title></head>\n<body>\n<h1>${title}</h1>\n<hr><pre>\n${links.join('\n')}\n</pre><hr>\n</body>\n</html>\n`;
}
