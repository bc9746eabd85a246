import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { contentIds, requireSpace, seeArtifacts, storedFile, versionResponse } from '../../../core/plugin-api.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import type { Services } from '../../../kit/services.ts';
import { forEachConcurrent } from '../../../lib/concurrent-map.ts';
import { type Digest, hexOf } from '../../../lib/digest.ts';
import { artifactKey } from '../../../storage/layout.ts';
import { ProcessFolder } from '../../../storage/process-folder.ts';
import { closureOf } from '../content/closure.ts';
import { publishContent } from '../content/publish-content.ts';
import { derivedFields, readsConfig } from '../oci/derived-fields.ts';
import { layoutBlobPath, readImageLayout } from '../oci/image-layout.ts';
import type { Manifest } from '../oci/manifest.ts';
import { checksumsWanted } from '../push/blob.ts';
import { ReceivedBlob } from '../push/received-blob.ts';
import type { DeclaredBlob } from '../sync/declared-content.ts';
import { findBlobs } from '../sync/known-content.ts';
import { ContentSaver } from '../sync/save-declared.ts';
import { BuildError, buildImage, clearBuild } from './build-program.ts';

export interface BuildOptions {
  readonly repository_id: string;
  /** base64 */
  readonly containerfile: string;
  /** Files of the context, by their paths in it. */
  readonly artifacts: readonly { readonly id: string; readonly path: string }[];
  readonly tag: string;
}

const FILES_AT_ONCE = 8;
const GB = 1024 ** 3;
/** How often it is looked whether a build fills the disk. */
const CHECK_SPACE_MS = 1000;
const CLEARED_WITHIN_MS = 60_000;

/**
 * Builds an image into the next version of a repository, under a tag. Answers that version as the REST API does. Throws BuildError; then
 * there is no version, and nothing is left of the build.
 */
export async function buildRepository(options: BuildOptions, context: TaskContext): Promise<unknown> {
  const { services, log, signal } = context;
  const { config } = services;
  const work = new ProcessFolder(join(config.DATA_DIR, 'work'), log);
  await work.open();
  // What the build runs is another user, who has to get to what is in it.
  const path = join(work.path, 'build');
  const mostBytes = config.DECKLE_MAX_BLOB_GB * GB;
  const disk = new AbortController();
  const check = setInterval(() => requireSpace(services, 0).catch((error: unknown) => disk.abort(error)), CHECK_SPACE_MS);
  try {
    await mkdir(path, { mode: 0o711 });
    await layOutContext(options, path, services, signal);
    await buildImage({ path, mostBytes, signal: AbortSignal.any([signal, disk.signal]) });
    return await publish(options, join(path, 'image'), context);
  } finally {
    clearInterval(check);
    await clearBuild({ path, mostBytes, signal: AbortSignal.timeout(CLEARED_WITHIN_MS) }).catch((err: unknown) =>
      log.warn({ err, folder: path }, 'what a build has left cannot be removed; remove the folder by hand'),
    );
    await work.close();
  }
}

async function layOutContext(
  { containerfile, artifacts }: BuildOptions,
  folder: string,
  services: Services,
  signal: AbortSignal,
): Promise<void> {
  await writeFile(join(folder, 'Containerfile'), Buffer.from(containerfile, 'base64'));
  await mkdir(join(folder, 'context'));
  const ids = artifacts.map(({ id }) => id);
  const seen = await seeArtifacts(services.db, ids);
  const rows = new Map(seen.map((row) => [row.id, row]));
  const bytes = seen.reduce((sum, { size }) => sum + size, 0);
  await requireSpace(services, bytes);
  const place = async ({ id, path }: BuildOptions['artifacts'][number]): Promise<void> => {
    const row = rows.get(id);
    if (!row) throw new BuildError(`The artifact for ${path} was removed before the task ran.`);
    const target = join(folder, 'context', path);
    await mkdir(dirname(target), { recursive: true });
    await pipeline(await services.storage.read(row.file), createWriteStream(target), { signal });
  };
  await forEachConcurrent(artifacts, place, { limit: FILES_AT_ONCE, signal });
}

/** Saves what was built, its digests compared, and makes the version. */
async function publish({ repository_id, tag }: BuildOptions, layout: string, context: TaskContext): Promise<unknown> {
  const { services, task } = context;
  const manifest = await readImageLayout(layout);
  const blobs = await storeBlobs(manifest, layout, context);
  const config = manifest.config && readsConfig(manifest) ? manifest.config.digest : undefined;
  const derived = derivedFields(manifest, {
    config: config && (await buffer(createReadStream(join(layout, layoutBlobPath(config))))),
  });
  const saver = new ContentSaver(services, task.domain_id);
  const { digest } = manifest;
  await saver.save([...blobs, { kind: 'manifest', manifest, derived }, { kind: 'tag', name: tag, digest }]);
  const version = await publishContent(context, repository_id, { add: closureOf(contentIds(saver.roots)) });
  if (!version) return null;
  return versionResponse(services.db, services.catalog, version.id);
}

async function storeBlobs(manifest: Manifest, layout: string, { services, task }: TaskContext): Promise<DeclaredBlob[]> {
  const descriptors = [...(manifest.config ? [manifest.config] : []), ...manifest.layers];
  const known = await findBlobs(
    services.db,
    task.domain_id,
    descriptors.map(({ digest }) => digest),
  );
  const declared: DeclaredBlob[] = [];
  for (const { digest, size } of descriptors) {
    const artifact_id = known.get(digest)?.artifact?.id;
    const file = artifact_id === undefined ? await storeBlob(digest, layout, services) : undefined;
    declared.push({ kind: 'blob', digest, size, file, artifact_id });
  }
  return declared;
}

async function storeBlob(digest: Digest, layout: string, services: Services) {
  const bytes = createReadStream(join(layout, layoutBlobPath(digest)));
  const reception = { wanted: checksumsWanted(services, digest), most: services.config.DECKLE_MAX_BLOB_GB * GB };
  const received = await ReceivedBlob.receive(bytes, reception, services.storage);
  try {
    const file = storedFile(received.size, received.checksums);
    if (file.checksums.sha256 !== hexOf(digest)) throw new BuildError(`The program wrote other bytes than ${digest} says.`);
    await received.store(artifactKey(file.checksums.sha256));
    return file;
  } finally {
    await received.drop();
  }
}
