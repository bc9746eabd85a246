import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FormPart } from '../../kit/api.ts';
import { ValidationError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import type { ChecksumName, Checksums } from '../../lib/checksums.ts';
import type { PendingFile } from '../../storage/storage.ts';
import { type StoredFile, storedFile } from './save-artifacts.ts';

/** A file of a form, written whole to a pending file. One of `keepAt` and `drop` ends it. */
export class ReceivedFile {
  /** Bytes received; where they are more than the most that was wanted, nothing of them is kept. */
  readonly size: number;
  readonly #pending: PendingFile;
  readonly #checksums: Checksums;

  constructor(pending: PendingFile, size: number, checksums: Checksums) {
    this.#pending = pending;
    this.size = size;
    this.#checksums = checksums;
  }

  /** Writes the bytes as they come, up to `most`; nothing of them stays where they break off. */
  static async receive(
    bytes: AsyncIterable<Uint8Array>,
    { wanted, most }: { readonly wanted: ReadonlySet<ChecksumName>; readonly most: number },
    { storage }: Pick<Services, 'storage'>,
  ): Promise<ReceivedFile> {
    const pending = await storage.create();
    try {
      let size = 0;
      const upToMost = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
        for await (const chunk of bytes) {
          size += chunk.byteLength;
          if (size <= most) yield chunk;
        }
      };
      const { checksums } = await pending.append(upToMost(), wanted);
      if (size > most) await pending.abort();
      return new ReceivedFile(pending, size, checksums);
    } catch (error) {
      await pending.abort();
      throw error;
    }
  }

  /** Computed while the bytes came; or now, where the client named it after them. */
  async checksum(name: ChecksumName): Promise<string> {
    const known = this.#checksums[name];
    if (known !== undefined) return known;
    const { path } = this.#pending;
    if (path === undefined) throw new ValidationError({ [name]: ['This field has to come before the file.'] });
    const hash = createHash(name);
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    const computed = hash.digest('hex');
    this.#checksums[name] = computed;
    return computed;
  }

  /** What it is once it is kept, with all checksums that are known. */
  get file(): StoredFile {
    return storedFile(this.size, this.#checksums);
  }

  /** Makes it durable under the key. */
  keepAt(key: string): Promise<void> {
    return this.#pending.commit(key);
  }

  /** Safe after `keepAt`, and after an error. */
  drop(): Promise<void> {
    return this.#pending.abort();
  }
}

/** A form: `file` is a ReceivedFile where it has one, or text like every other field. */
export type ReceivedForm = Readonly<Record<string, string | ReceivedFile>>;

/**
 * Reads a form to its end, the bytes of the part `file` into a pending file. `checksums` are computed meanwhile, and those that a field
 * before the file is named after. Of a file that is larger than `most` nothing is kept. Nothing stays of a form that fails.
 */
export async function receiveForm(
  parts: AsyncIterable<FormPart>,
  checksums: { readonly wanted: readonly ChecksumName[]; readonly known?: readonly ChecksumName[]; readonly most?: number },
  services: Pick<Services, 'storage'>,
): Promise<ReceivedForm> {
  const fields = new Map<string, string>();
  let file: ReceivedFile | undefined;
  try {
    for await (const part of parts) {
      if (part.kind === 'field' || part.name !== 'file') fields.set(part.name, part.kind === 'field' ? part.value : '');
      else if (file) throw new ValidationError({ file: ['Only one file can be submitted.'] });
      else {
        const named = (checksums.known ?? []).filter((name) => fields.has(name));
        const { wanted, most = Number.POSITIVE_INFINITY } = checksums;
        file = await ReceivedFile.receive(part.bytes, { wanted: new Set([...wanted, ...named]), most }, services);
      }
    }
  } catch (error) {
    await file?.drop();
    throw error;
  }
  return { ...Object.fromEntries(fields), ...(file ? { file } : {}) };
}
