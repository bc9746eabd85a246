import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { descriptorOf, type ImageContent } from '../../src/demo/image.ts';
import type { BlobContent } from '../../src/demo/layer.ts';

const CHUNK = 1024 * 1024;

/** Writes images by their tags as an OCI image layout (OCI image-spec, image-layout.md), which clients push from. */
export async function writeLayout(folder: string, images: Readonly<Record<string, ImageContent>>): Promise<void> {
  const blobs = join(folder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  for (const image of Object.values(images)) await writeImage(blobs, image);
  const manifests = Object.entries(images).map(([tag, image]) => ({
    ...descriptorOf(image, image.mediaType),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }));
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}

const pathIn = (blobs: string, digest: string): string => join(blobs, digest.slice('sha256:'.length));

async function writeImage(blobs: string, image: ImageContent): Promise<void> {
  for (const child of image.children) await writeImage(blobs, child);
  for (const blob of image.blobs) await writeBlob(pathIn(blobs, blob.digest), blob);
  await writeFile(pathIn(blobs, image.digest), image.bytes);
}

async function writeBlob(path: string, blob: BlobContent): Promise<void> {
  const file = await open(path, 'w');
  const chunk = Buffer.alloc(CHUNK);
  for (let at = 0; at < blob.size; ) {
    const count = blob.copy(at, chunk);
    await file.write(chunk.subarray(0, count));
    at += count;
  }
  await file.close();
}
