import { hash } from 'node:crypto';
import { z } from 'zod';

/** Grammar of the registered algorithms (OCI image-spec, descriptor.md, "Digests"); anything else is refused. */
const GRAMMAR = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export type DigestAlgorithm = 'sha256' | 'sha512';

/** Parses a digest at an edge: request, manifest, upstream header. */
export const digestSchema = z
  .string()
  .regex(GRAMMAR, 'must be sha256: and 64, or sha512: and 128, lower case hexadecimal digits')
  .brand<'Digest'>();

/** `sha256:<64 hex>` or `sha512:<128 hex>`, checked: safe to build a path or a URL from. */
export type Digest = z.output<typeof digestSchema>;

const isDigest = (text: string): text is Digest => GRAMMAR.test(text);

/** The text as a digest, or undefined where it is none. */
export const parseDigest = (text: string): Digest | undefined => (isDigest(text) ? text : undefined);

/** `sha256:ab…` -> `sha256` */
export const algorithmOf = (digest: Digest): DigestAlgorithm => (digest.startsWith('sha256:') ? 'sha256' : 'sha512');

/** `sha256:ab…` -> `ab…` */
export const hexOf = (digest: Digest): string => digest.slice(digest.indexOf(':') + 1);

/** The digest of bytes held whole; for a stream see verified-stream.ts. */
export const digestOf = (bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest =>
  `${algorithm}:${hash(algorithm, bytes)}` as Digest;
