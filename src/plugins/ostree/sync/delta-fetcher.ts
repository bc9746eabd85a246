import type { StoredFile } from '../../../core/plugin-api.ts';
import { UpstreamError } from '../../../download/upstream-error.ts';
import type { TaskContext } from '../../../kit/define-task.ts';
import { artifactKey } from '../../../storage/layout.ts';
import type { RepositoryFile } from '../content/file-saver.ts';
import { findFile } from '../content/known-objects.ts';
import { readStored, storeBytes } from '../content/stored-bytes.ts';
import type { Checksum } from '../format/checksum.ts';
import { type DeltaName, deltaNameText, deltaPartPath, superblockPath } from '../format/delta-name.ts';
import { FormatError } from '../format/format-error.ts';
import type { OstreeClient } from '../format/ostree-client.ts';
import { type DeltaPart, parseSuperblock, type Superblock } from '../format/static-delta.ts';
import { parsing } from './parsing.ts';

/** The files of a static delta. */
export interface DeltaFiles {
  /** Ids of units that the server has. */
  readonly known: readonly string[];
  readonly fetched: readonly RepositoryFile[];
}

export interface DeltaFetcherOptions {
  readonly context: TaskContext;
  readonly client: OstreeClient;
  readonly onFetched: () => void;
  readonly signal: AbortSignal;
}

/** Fetches static deltas: the superblock is proven by whoever lists it, the parts by the superblock. */
export class DeltaFetcher {
  readonly #options: DeltaFetcherOptions;

  constructor(options: DeltaFetcherOptions) {
    this.#options = options;
  }

  /** All files of a delta; none where the upstream lists it and does not have it: clients then fetch the objects one by one. */
  async delta(name: DeltaName, sha256: Checksum): Promise<DeltaFiles> {
    const path = superblockPath(name);
    const files = new FileList();
    const superblock = await this.#superblock(name, path, sha256, files);
    if (!superblock) return { known: [], fetched: [] };
    for (const [index, part] of superblock.parts.entries()) {
      if (!part.inline) await this.#part(deltaPartPath(name, index), part, files);
    }
    return files;
  }

  async #superblock(name: DeltaName, path: string, sha256: Checksum, files: FileList): Promise<Superblock | undefined> {
    const { context, client, onFetched, signal } = this.#options;
    const { services, task } = context;
    const known = await findFile(services.db, task.domain_id, path, sha256);
    const stored = known?.file ? await readStored(known.file, services) : undefined;
    if (known && stored) {
      files.known.push(known.id);
      return parseSuperblock(stored, path);
    }
    const bytes = await client.provenSmall(path, sha256, signal).catch((error: unknown) => {
      if (error instanceof UpstreamError && error.status === 404) return undefined;
      throw error;
    });
    if (!bytes) {
      context.log.warn({ delta: deltaNameText(name) }, 'the upstream lists a static delta that it does not have: it is left out');
      return undefined;
    }
    const superblock = parsing(client.place(path), () => checked(parseSuperblock(bytes, path), name, path));
    files.fetched.push({ relative_path: path, file: await storeBytes(bytes, services) });
    onFetched();
    return superblock;
  }

  async #part(path: string, { checksum, size }: DeltaPart, files: FileList): Promise<void> {
    const { context, onFetched } = this.#options;
    const known = await findFile(context.services.db, context.task.domain_id, path, checksum);
    if (known?.file) {
      files.known.push(known.id);
      return;
    }
    files.fetched.push({ relative_path: path, file: await this.#download(path, checksum, size) });
    onFetched();
  }

  async #download(path: string, sha256: Checksum, size: number): Promise<StoredFile> {
    const { context, client, signal } = this.#options;
    const target = await context.services.storage.create();
    try {
      const downloaded = await client.download(path, sha256, size, target, signal);
      await target.commit(artifactKey(sha256));
      return { size: downloaded.size, checksums: { ...downloaded.checksums, sha256 } };
    } catch (error) {
      await target.abort();
      throw error;
    }
  }
}

class FileList implements DeltaFiles {
  readonly known: string[] = [];
  readonly fetched: RepositoryFile[] = [];
}

function checked(superblock: Superblock, name: DeltaName, path: string): Superblock {
  if (superblock.from === name.from && superblock.to === name.to) return superblock;
  throw new FormatError(`${path}: it is of the delta ${deltaNameText(superblock)}`);
}
