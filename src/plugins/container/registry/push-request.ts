import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RegistryError, sizeInvalid } from './registry-error.ts';
import type { RegistryPath } from './registry-path.ts';
import type { ServedRegistry } from './served-registry.ts';

/** A request of the Registry API that changes something, or asks for an upload. */
export interface PushRequest {
  readonly registry: ServedRegistry;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly url: URL;
}

export type PathOf<Kind extends RegistryPath['kind']> = Extract<RegistryPath, { kind: Kind }>;

/** What the request says; 0 where it does not. */
export const lengthOf = ({ request }: PushRequest): number => Number(request.headers['content-length'] ?? 0);

/**
 * The bytes of the request as they come; none where it has no body. Who reads no further leaves the connection as it is, for the answer.
 * Throws RegistryError (400) where they break off, or are not as many as `wanted`, if that is given.
 */
export async function* bytesOf({ request: { body } }: PushRequest, wanted?: number): AsyncGenerator<Buffer, void, undefined> {
  let size = 0;
  try {
    for await (const chunk of body instanceof Readable ? body.iterator({ destroyOnReturn: false }) : []) {
      size += (chunk as Buffer).byteLength;
      if (wanted !== undefined && size > wanted) break;
      yield chunk as Buffer;
    }
  } catch (cause) {
    throw new RegistryError(400, 'SIZE_INVALID', 'The body of the request broke off.', { cause });
  }
  if (wanted !== undefined && size !== wanted) throw sizeInvalid(`The chunk has not the ${wanted} bytes of its range.`);
}

/** The bytes of the request. Throws what `tooLarge` makes where they are more than `most`. */
export async function bodyOf(asked: PushRequest, most: number, tooLarge: (most: number) => RegistryError): Promise<Buffer> {
  if (lengthOf(asked) > most) throw tooLarge(most);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytesOf(asked)) {
    size += chunk.byteLength;
    if (size > most) throw tooLarge(most);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
