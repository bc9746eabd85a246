import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor, ImageContent } from '../../src/demo/image.ts';
import { blobOf } from '../../src/demo/layer.ts';

/** The image of an OCI image layout (image-spec image-layout.md) that holds a single one. */
export async function imageOfLayout(folder: string): Promise<ImageContent> {
  const read = (digest: string): Promise<Buffer> => readFile(join(folder, 'blobs', ...digest.split(':')));
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as { manifests: [Descriptor] };
  const [descriptor] = index.manifests;
  const bytes = await read(descriptor.digest);
  const manifest = JSON.parse(bytes.toString('utf8')) as { config: Descriptor; layers: Descriptor[] };
  const blobs = await Promise.all([manifest.config, ...manifest.layers].map(async ({ digest }) => blobOf(await read(digest))));
  return { mediaType: descriptor.mediaType, digest: descriptor.digest, bytes, blobs, children: [] };
}
