import { z } from 'zod';
import type { SmallResponse } from '../../../download/upstream.ts';
import { publicUrl } from '../../../download/upstream-error.ts';
import { algorithmOf, type Digest, hexOf } from '../../../lib/digest.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { RegistryError } from './registry-error.ts';

/** A signature as the upstream gave it: parse it with `parseSignature`. */
export interface FetchedSignature {
  readonly body: Buffer;
  /** Where it came from, for a log line. */
  readonly url: string;
}

/** Asks for something small that may be absent: 404 is an answer. */
export type AskForSignature = (url: string, maxBytes: number) => Promise<SmallResponse>;

/** Of a signature: Pulp's limit of a pushed one. */
export const MAX_SIGNATURE_BYTES = 4 * 1024 * 1024;
const MAX_LIST_BYTES = 8 * 1024 * 1024;
/** Signatures of one manifest. */
const MAX_SIGNATURES = 1000;

const listSchema = z.object({
  signatures: z
    .array(z.object({ schemaVersion: z.number(), type: z.string(), content: z.base64() }))
    .max(MAX_SIGNATURES)
    .nullish(),
});

/** Signatures from the registry's signature extension: those of schema version 2 and type `atomic`. */
export async function readExtensionSignatures(url: string, ask: AskForSignature): Promise<FetchedSignature[]> {
  const answer = await ask(url, MAX_LIST_BYTES);
  if (answer.status === 404) return [];
  const what = `The signature list ${publicUrl(url)}`;
  const parsed = listSchema.safeParse(parseBoundedJson(answer.body, 'signature', what));
  if (!parsed.success) throw new RegistryError('signature', `${what} cannot be read`, { cause: parsed.error });
  return (parsed.data.signatures ?? [])
    .filter(({ schemaVersion, type }) => schemaVersion === 2 && type === 'atomic')
    .map(({ content }) => ({ body: Buffer.from(content, 'base64'), url: publicUrl(url) }));
}

/** Signatures from a lookaside server: `<base>/<name>@sha256=<hex>/signature-1` and so on, up to the first that is not there. */
export async function readLookasideSignatures(
  base: string,
  name: string,
  digest: Digest,
  ask: AskForSignature,
): Promise<FetchedSignature[]> {
  const folder = `${base.replace(/\/+$/, '')}/${name}@${algorithmOf(digest)}=${hexOf(digest)}`;
  const signatures: FetchedSignature[] = [];
  for (let number = 1; number <= MAX_SIGNATURES; number += 1) {
    const url = `${folder}/signature-${number}`;
    const answer = await ask(url, MAX_SIGNATURE_BYTES);
    if (answer.status === 404) return signatures;
    signatures.push({ body: answer.body, url: publicUrl(url) });
  }
  throw new RegistryError('signature', `The manifest ${digest} has more than ${MAX_SIGNATURES} signatures at ${publicUrl(base)}`);
}
