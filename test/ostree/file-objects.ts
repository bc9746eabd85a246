import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';

/** A file object as an archive repository keeps it. */
export interface FileObject {
  /** The object's name, which is no digest of `bytes`. */
  readonly checksum: string;
  readonly path: string;
  readonly bytes: Buffer;
}

const prefixed = (header: Buffer): Buffer => {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(header.length);
  return Buffer.concat([prefix, header]);
};

/** uid, gid, mode and rdev; then an empty link target, no extended attributes, and where the target ends (facts on the format, §9). */
const owners = (end: number): Buffer => {
  const header = Buffer.alloc(18);
  header.writeUInt32BE(0o100644, 8);
  header[17] = end;
  return header;
};

/** A regular file of root with this content, packed at a level of zlib: the same object in as many forms as there are levels. */
export function fileObject(content: Buffer | string, level = 6): FileObject {
  const body = Buffer.from(content);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(body.length));
  const checksum = createHash('sha256')
    .update(prefixed(owners(17)))
    .update(body)
    .digest('hex');
  const bytes = Buffer.concat([prefixed(Buffer.concat([size, owners(25)])), deflateRawSync(body, { level })]);
  return { checksum, path: `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.filez`, bytes };
}
