import type { IncomingMessage, ServerResponse } from 'node:http';
import { servedVersion } from '../../../core/plugin-api.ts';
import { sendManifest } from './manifest.ts';
import { isToBeRenewed } from './pulled-manifest.ts';
import { isGuardedByPulls } from './served-distribution.ts';
import type { ServedRegistry } from './served-registry.ts';

/** Answers a request at once, or says false with nothing touched: then the framework takes it. */
export type FastPath = (request: IncomingMessage, response: ServerResponse) => boolean;

const PREFIX = '/v2/';
const BEARER = 'Bearer ';

/**
 * GET and HEAD of manifests and small blobs for which everything is in memory: the token was proven and its holder may pull, the
 * distribution is being listened to, the manifest or blob was found before. All else, what another guard protects and every refusal too, is left to the routes.
 */
export function fastPath(registry: ServedRegistry): FastPath {
  return (request, response) => {
    const { url = '', method } = request;
    if ((method !== 'GET' && method !== 'HEAD') || !url.startsWith(PREFIX)) return false;
    const beforeReference = url.lastIndexOf('/');
    const beforeNoun = url.lastIndexOf('/', beforeReference - 1);
    const noun = url.slice(beforeNoun + 1, beforeReference);
    if (noun !== 'manifests' && noun !== 'blobs') return false;

    const authorization = request.headers.authorization;
    if (!authorization?.startsWith(BEARER)) return false;
    const name = url.slice(PREFIX.length, beforeNoun);
    const token = registry.tokens.cached(authorization.slice(BEARER.length));
    if (!token?.pull.has(name)) return false;

    const distribution = registry.distributions.cached(name);
    if (!distribution || !registry.pullRights.known(token, distribution)) return false;
    const version = isGuardedByPulls(distribution) ? servedVersion(distribution) : undefined;
    if (!version) return false;
    const reference = url.slice(beforeReference + 1);
    if (noun === 'manifests') {
      if (isToBeRenewed(registry, distribution, reference)) return false;
      const manifest = registry.manifests.cached(version, reference);
      if (!manifest) return false;
      sendManifest(request, response, manifest);
      return true;
    }
    const blob = registry.blobs.cached(version, reference);
    return blob !== undefined && registry.blobs.sendSmall({ request, response }, blob);
  };
}
