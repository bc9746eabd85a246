import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** The client's `Correlation-ID` where it is a UUID, else a fresh one of 32 hex digits (spec: core, headers). */
export function correlationId(request: IncomingMessage): string {
  const given = request.headers['correlation-id'];
  return typeof given === 'string' && UUID.test(given) ? given : randomUUID().replaceAll('-', '');
}
