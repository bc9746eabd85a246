import { z } from 'zod';
import { type Digest, digestOf, digestSchema, hexOf } from '../../../lib/digest.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { firstIssue } from './manifest-schema.ts';
import { literalData, readPackets, signatureFacts } from './openpgp-packets.ts';
import { RegistryError } from './registry-error.ts';

/** An atomic container signature, in the columns of its row. It is not verified: clients do that, with keys of their own. */
export interface Signature {
  /** `<manifest digest>@<first 32 hexadecimal digits of the signature's sha256>` */
  readonly name: string;
  /** sha256 of the signature's bytes. */
  readonly digest: Digest;
  readonly type: 'atomic';
  /** 16 upper-case hexadecimal digits. */
  readonly key_id: string;
  readonly fingerprint: string | null;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly creator: string | null;
  /** The manifest that is signed. */
  readonly signed_digest: Digest;
  /** The name that the manifest is signed as. */
  readonly docker_reference: string;
  /** The signature's bytes, base64. */
  readonly data: string;
}

/** containers/image docs/containers-signature.5.md, "JSON data" */
const payloadSchema = z.object({
  critical: z.object({
    type: z.literal('atomic container signature'),
    identity: z.object({ 'docker-reference': z.string() }),
    image: z.object({ 'docker-manifest-digest': digestSchema }),
  }),
  optional: z.object({ creator: z.string().nullish(), timestamp: z.number().int().nonnegative().nullish() }).nullish(),
});

/**
 * Reads a signature of the manifest `expected`. Throws RegistryError `signature` for anything else, also where it is one of
 * another manifest; whoever collects signatures notes that in the log and goes on.
 */
export function parseSignature(body: Buffer, expected: Digest): Signature {
  // Sigstore formats are stored beside atomic ones, marked by a NUL (containers/image docs/signature-protocols.md).
  if (body[0] === 0) throw new RegistryError('signature', 'A signature is of a sigstore format, which is not supported here');
  const packets = readPackets(body);
  const payload = parsePayload(literalData(packets));
  const signed = payload.critical.image['docker-manifest-digest'];
  if (signed !== expected) throw new RegistryError('signature', `A signature is of ${signed} and not of ${expected}`);
  const facts = signatureFacts(packets);
  if (facts.keyId === undefined) throw new RegistryError('signature', 'A signature does not say which key made it');
  const timestamp = facts.created ?? payload.optional?.timestamp ?? undefined;
  if (timestamp === undefined) throw new RegistryError('signature', 'A signature does not say when it was made');
  const digest = digestOf(body);
  return {
    name: `${signed}@${hexOf(digest).slice(0, 32)}`,
    digest,
    type: 'atomic',
    key_id: facts.keyId,
    fingerprint: facts.fingerprint ?? null,
    timestamp,
    creator: payload.optional?.creator ?? null,
    signed_digest: signed,
    docker_reference: payload.critical.identity['docker-reference'],
    data: body.toString('base64'),
  };
}

function parsePayload(text: Buffer): z.output<typeof payloadSchema> {
  const parsed = payloadSchema.safeParse(parseBoundedJson(text, 'signature', 'The text of a signature'));
  if (parsed.success) return parsed.data;
  throw new RegistryError('signature', `The text of a signature is invalid: ${firstIssue(parsed.error)}`);
}
