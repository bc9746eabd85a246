import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { link, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { createInterface } from 'node:readline';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { codeOf } from '../storage/full-disk.ts';

/** A stored file, as the database knows it. */
export interface StoredFile {
  readonly sha256: string;
  readonly size: number;
}

/** Files that are copied or read at once; each holds a buffer of `BUFFER` bytes. */
export const FILES_AT_ONCE = 16;
const BUFFER = 512 * 1024;

/** The sha256 of what passes, and the number of bytes. */
function hashing(): { readonly stream: Transform; result(): StoredFile } {
  const hash = createHash('sha256');
  let size = 0;
  const stream = new Transform({
    readableHighWaterMark: BUFFER,
    writableHighWaterMark: BUFFER,
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, result: () => ({ sha256: hash.digest('hex'), size }) };
}

/** Sha256 and size of a file; undefined where there is none. */
export async function hashFile(path: string): Promise<StoredFile | undefined> {
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: BUFFER })) {
      hash.update(chunk);
      size += chunk.length;
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return { sha256: hash.digest('hex'), size };
}

export const isSame = (a: StoredFile | undefined, b: StoredFile): boolean => a?.sha256 === b.sha256 && a.size === b.size;

/** Copies a file, for its owner's eyes, and proves it on the way. Nothing is at `to` but where the answer is `copied`. */
export async function copyChecked(from: string, to: string, expected: StoredFile): Promise<'copied' | 'absent' | 'wrong'> {
  const aside = `${to}.part`;
  const { stream, result } = hashing();
  const source = createReadStream(from, { highWaterMark: BUFFER });
  try {
    await new Promise((resolve, reject) => source.once('open', resolve).once('error', reject));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'absent';
    throw error;
  }
  await pipeline(source, stream, createWriteStream(aside, { mode: 0o600 }));
  if (!isSame(result(), expected)) {
    await rm(aside);
    return 'wrong';
  }
  await rename(aside, to);
  return 'copied';
}

/** File systems that have no hard links, or no more of them. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);

/** Gives the file `from`, which is there and of this size, a second name. Answers whether it did. */
export async function linkFile(from: string, to: string, size: number): Promise<boolean> {
  try {
    if ((await stat(from)).size !== size) return false;
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || NO_LINKS.has(codeOf(error))) return false;
    throw error;
  }
}

/** The lines of `files.tsv`. Throws a RangeError for what is none. */
export async function* readFileList(path: string): AsyncGenerator<StoredFile> {
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    const [, sha256, size] = /^([0-9a-f]{64})\t(\d+)$/.exec(line) ?? [];
    if (sha256 === undefined) throw new RangeError(`not a line of a list of files: ${line.slice(0, 100)}`);
    yield { sha256, size: Number(size) };
  }
}

/** Paths of the files below `folder`, relative to it; none where there is no such folder. */
export async function filesBelow(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`.slice(folder.length + 1))
      .sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Path -> sha256 of a `SHA256SUMS`. Throws a RangeError for a line that is none. */
export async function readSums(path: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const [, sha256, file] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
      if (sha256 === undefined || file === undefined || isAbsolute(file) || file.split('/').includes('..'))
        throw new RangeError(`not a checksum: ${line.slice(0, 100)}`);
      return [file, sha256] as const;
    }),
  );
}
