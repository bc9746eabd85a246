import { parseBoundedJson } from './bounded-json.ts';
import { firstIssue, schema1Schema, signatureProtectionSchema } from './manifest-schema.ts';
import { RegistryError } from './registry-error.ts';

/**
 * The part of a signed schema 1 manifest that its digest is of: the document as it was before the signatures were put in.
 * Each signature's protected header says how long that was and how it ended (distribution: manifest-v2-1.md, "Signed Manifests").
 * Without signatures it is the body itself.
 */
export function signedPayload(body: Buffer): Buffer {
  const parsed = schema1Schema.safeParse(parseBoundedJson(body, 'manifest', 'A schema 1 manifest'));
  if (!parsed.success) throw new RegistryError('manifest', `A schema 1 manifest is invalid: ${firstIssue(parsed.error)}`);
  const [signature] = parsed.data.signatures ?? [];
  if (!signature) return body;
  const protection = signatureProtectionSchema.safeParse(
    parseBoundedJson(Buffer.from(signature.protected, 'base64url'), 'manifest', 'The protected header of a schema 1 signature'),
  );
  if (!protection.success || protection.data.formatLength > body.byteLength) {
    throw new RegistryError('manifest', 'A schema 1 manifest is invalid: its signature does not say what it is of');
  }
  const tail = Buffer.from(protection.data.formatTail, 'base64url');
  return Buffer.concat([body.subarray(0, protection.data.formatLength), tail]);
}
