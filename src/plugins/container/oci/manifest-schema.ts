import { z } from 'zod';
import { digestSchema } from '../../../lib/digest.ts';

/** OCI image-spec (descriptor.md, manifest.md, image-index.md), Docker manifest v2 schemas 1 and 2. Unknown fields are let be. */
const size = z.number().int().nonnegative();
const annotations = z.record(z.string(), z.string()).nullish();
const mediaType = z.string().min(1);
const text = z.string().nullish();

const descriptor = z.object({ mediaType, digest: digestSchema, size, annotations, artifactType: z.string().optional() });

export const imageSchema = z.object({
  schemaVersion: z.literal(2),
  config: descriptor,
  layers: z.array(descriptor).nullish(),
  annotations,
  artifactType: z.string().nullish(),
  subject: descriptor.nullish(),
});

/** The retired OCI artifact manifest. */
export const artifactSchema = z.object({
  artifactType: z.string().nullish(),
  blobs: z.array(descriptor).nullish(),
  annotations,
  subject: descriptor.nullish(),
});

const platform = z.object({
  architecture: text,
  os: text,
  'os.version': text,
  'os.features': z.array(z.string()).nullish(),
  features: z.array(z.string()).nullish(),
  variant: text,
});

export const indexSchema = z.object({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptor.extend({ platform: platform.nullish() })).nullable(),
  annotations,
  artifactType: z.string().nullish(),
  subject: descriptor.nullish(),
});

export const schema1Schema = z.object({
  schemaVersion: z.literal(1),
  fsLayers: z.array(z.object({ blobSum: digestSchema })),
  history: z.array(z.object({ v1Compatibility: z.string() })),
  architecture: text,
  signatures: z.array(z.object({ protected: z.string() })).optional(),
});

export const signatureProtectionSchema = z.object({
  formatLength: z.number().int().nonnegative(),
  formatTail: z.string(),
});

/** What tells a manifest without `mediaType` and without Content-Type apart. */
export const guessSchema = z.object({
  mediaType: z.string().nullish(),
  schemaVersion: z.number().optional(),
  manifests: z.array(z.object({ mediaType: z.string().optional() })).nullish(),
  config: z.object({ mediaType: z.string().optional() }).nullish(),
  signatures: z.unknown().optional(),
});

/** `a.b[0]: why`, the first fault. */
export function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `${issue.path.join('.') || 'the document'}: ${issue.message}` : 'unknown fault';
}
