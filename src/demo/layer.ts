import { createCipheriv, createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Bytes of a blob, whole in memory (`bytes`) or computed where they are asked for (`bytes` null). */
export interface BlobContent {
  /** `sha256:<hex>` of the bytes. */
  readonly digest: string;
  /** Length in bytes. */
  readonly size: number;
  readonly bytes: Buffer | null;
  /** Copies the blob's bytes from `offset` on into `target`; returns how many (0 at the end). */
  copy(offset: number, target: Buffer): number;
}

/** A gzip-compressed tar, as container images carry it. */
export interface Layer extends BlobContent {
  /** `sha256:<hex>` of the tar before compression, for `rootfs.diff_ids` of the configuration. */
  readonly diffId: string;
}

const TAR_BLOCK = 512;
const STORED_BLOCK = 65_535;
const STORED_HEADER = 5;
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const GZIP_TRAILER = 8;

/** `sha256:<hex>` of some bytes. */
export function sha256Digest(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A blob of the given bytes, kept in memory. */
export function blobOf(content: Buffer | string): BlobContent {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return { digest: sha256Digest(bytes), size: bytes.length, bytes, copy: (offset, target) => bytes.copy(target, 0, offset) };
}

/** A layer holding the given files (path -> text), the same bytes on every machine: no times, no owners, nothing compressed. */
export function layerOf(files: Readonly<Record<string, string>>): Layer {
  const parts: Buffer[] = [];
  for (const [path, text] of Object.entries(files)) {
    const content = Buffer.from(text);
    parts.push(tarHeader(path, content.length), content, Buffer.alloc(padding(content.length)));
  }
  parts.push(Buffer.alloc(2 * TAR_BLOCK));
  const tar = Buffer.concat(parts);
  const blocks: Buffer[] = [GZIP_HEADER];
  for (let at = 0; at < tar.length; at += STORED_BLOCK) {
    const data = tar.subarray(at, at + STORED_BLOCK);
    blocks.push(storedHeader(data.length, at + STORED_BLOCK >= tar.length), data);
  }
  blocks.push(gzipTrailer(crc32(tar), tar.length));
  return { ...blobOf(Buffer.concat(blocks)), diffId: sha256Digest(tar) };
}

/**
 * A layer with one file of `size` pseudo-random bytes that follow from `seed`. The bytes are computed block by block
 * wherever they are asked for, so a layer of any size takes no memory; only its digests are computed in advance.
 */
export function largeLayer(seed: string, size: number): Layer {
  const tar = new PatternTar(seed, size);
  const blocks = Math.ceil(tar.size / STORED_BLOCK);
  const lastLength = tar.size - (blocks - 1) * STORED_BLOCK;
  const stride = STORED_HEADER + STORED_BLOCK;
  const total = GZIP_HEADER.length + tar.size + blocks * STORED_HEADER + GZIP_TRAILER;
  const fullHeader = storedHeader(STORED_BLOCK, false);
  const lastHeader = storedHeader(lastLength, true);

  /** Writes deflate block `index` (its header and data) to the start of `target`; returns its length. */
  const render = (index: number, target: Buffer): number => {
    const last = index === blocks - 1;
    const length = last ? lastLength : STORED_BLOCK;
    (last ? lastHeader : fullHeader).copy(target, 0);
    tar.render(index, target.subarray(STORED_HEADER, STORED_HEADER + length));
    return STORED_HEADER + length;
  };

  const compressed = createHash('sha256').update(GZIP_HEADER);
  const plain = createHash('sha256');
  const scratch = Buffer.allocUnsafe(stride);
  let checksum = 0;
  for (let index = 0; index < blocks; index++) {
    const length = render(index, scratch);
    const data = scratch.subarray(STORED_HEADER, length);
    checksum = crc32(data, checksum);
    plain.update(data);
    compressed.update(scratch.subarray(0, length));
  }
  const trailer = gzipTrailer(checksum, tar.size);
  compressed.update(trailer);

  const copy = (offset: number, target: Buffer): number => {
    let done = 0;
    let at = offset;
    while (done < target.length && at < total) {
      let copied: number;
      if (at < GZIP_HEADER.length) copied = GZIP_HEADER.copy(target, done, at);
      else if (at >= total - GZIP_TRAILER) copied = trailer.copy(target, done, at - (total - GZIP_TRAILER));
      else {
        const index = Math.floor((at - GZIP_HEADER.length) / stride);
        const within = (at - GZIP_HEADER.length) % stride;
        if (within === 0 && target.length - done >= stride) copied = render(index, target.subarray(done));
        else copied = scratch.copy(target, done, within, render(index, scratch));
      }
      done += copied;
      at += copied;
    }
    return done;
  };
  return {
    digest: `sha256:${compressed.digest('hex')}`,
    size: total,
    bytes: null,
    copy,
    diffId: `sha256:${plain.digest('hex')}`,
  };
}

/** A tar with one file of pseudo-random bytes, computed block by block. */
class PatternTar {
  readonly size: number;
  readonly #header: Buffer;
  readonly #pattern: Buffer;
  readonly #fileEnd: number;

  constructor(seed: string, size: number) {
    this.#header = tarHeader('data.bin', size);
    this.#fileEnd = TAR_BLOCK + size;
    this.size = this.#fileEnd + padding(size) + 2 * TAR_BLOCK;
    const key = createHash('sha256').update(seed).digest();
    this.#pattern = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16)).update(Buffer.alloc(STORED_BLOCK));
  }

  /** Writes the tar's bytes from `index * STORED_BLOCK` on; `target` has the length of that block. */
  render(index: number, target: Buffer): void {
    this.#pattern.copy(target);
    // Without the block's number all blocks would be the same bytes, and a misplaced one would go unnoticed.
    if (target.length >= TAR_BLOCK + 8) target.writeBigUInt64LE(BigInt(index), TAR_BLOCK);
    if (index === 0) this.#header.copy(target);
    const fileEnd = this.#fileEnd - index * STORED_BLOCK;
    if (fileEnd < target.length) target.fill(0, Math.max(0, fileEnd));
  }
}

function padding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

/** A ustar header of a regular file owned by root, mode 0644, time 0. */
function tarHeader(path: string, size: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  header.write(path, 0, 100);
  header.write(['0000644', '0000000', '0000000', ''].join('\0'), 100, 'latin1');
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('00000000000\0', 136, 'latin1');
  header.write('        0', 148, 'latin1');
  header.write('ustar', 257, 'latin1');
  header.write('00', 263, 'latin1');
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Header of a deflate block that stores its data (RFC 1951, 3.2.4). */
function storedHeader(length: number, last: boolean): Buffer {
  const header = Buffer.alloc(STORED_HEADER);
  header.writeUInt8(last ? 1 : 0, 0);
  header.writeUInt16LE(length, 1);
  header.writeUInt16LE(length ^ 0xffff, 3);
  return header;
}

function gzipTrailer(checksum: number, size: number): Buffer {
  const trailer = Buffer.alloc(GZIP_TRAILER);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  return trailer;
}
