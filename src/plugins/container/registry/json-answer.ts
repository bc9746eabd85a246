import type { FastifyReply } from 'fastify';

/** Sends JSON as bytes: to a text the framework would add a charset, which no JSON type has. */
export const sendJson = (reply: FastifyReply, body: unknown, mediaType = 'application/json'): FastifyReply =>
  reply.header('content-type', mediaType).send(Buffer.from(JSON.stringify(body)));
