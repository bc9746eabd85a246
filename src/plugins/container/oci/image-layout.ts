import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { algorithmOf, type Digest, digestSchema, hexOf } from '../../../lib/digest.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from './manifest.ts';
import { firstIssue } from './manifest-schema.ts';
import { RegistryError } from './registry-error.ts';

const MAX_INDEX_BYTES = 1024 * 1024;

/** image-spec image-layout.md, `index.json`; here of one image. */
const indexSchema = z.object({ manifests: z.tuple([z.object({ mediaType: z.string(), digest: digestSchema })]) });

const invalid = (why: string, cause?: unknown): RegistryError =>
  new RegistryError('manifest', `The OCI image layout is invalid: ${why}`, { cause });

/** The bytes of a file of a layout, which is none where it is a link. */
async function fileIn(folder: string, path: string, most: number): Promise<Buffer> {
  const file = join(folder, path);
  const stats = await lstat(file).catch((cause: unknown) => {
    throw invalid(`there is no ${path}`, cause);
  });
  if (!stats.isFile() || stats.size > most) throw invalid(`${path} is no file, or larger than ${most} bytes`);
  return readFile(file);
}

/** Where a layout has the blob, within its folder. */
export const layoutBlobPath = (digest: Digest): string => join('blobs', algorithmOf(digest), hexOf(digest));

/** The manifest of the only image of an OCI image layout, its digest compared. Throws RegistryError: `manifest`, `digest`. */
export async function readImageLayout(folder: string): Promise<Manifest> {
  const index = indexSchema.safeParse(
    parseBoundedJson(await fileIn(folder, 'index.json', MAX_INDEX_BYTES), 'manifest', 'index.json'),
  );
  if (!index.success) throw invalid(`index.json: ${firstIssue(index.error)}`);
  const [{ digest, mediaType }] = index.data.manifests;
  const body = await fileIn(folder, layoutBlobPath(digest), MAX_MANIFEST_BYTES);
  return parseManifest(body, { expected: digest, contentType: mediaType });
}
