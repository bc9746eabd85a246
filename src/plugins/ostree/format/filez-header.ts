import { checkMode, xattrsOf } from './dirmeta.ts';
import { refuse, type Subject } from './format-error.ts';
import { parseGVariant, swap32, swap64, type Value } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { serializeGVariant } from './gvariant-writer.ts';
import { looksLikeHtml } from './html-page.ts';

/** Bytes of a header: names, owners and extended attributes, no content. */
export const MAX_HEADER_BYTES = 1024 * 1024;
/** Before the header: its length, big-endian, and four zero bytes. */
export const PREFIX_BYTES = 8;

/** size, uid, gid, mode, rdev (all big-endian), target of a link, extended attributes. */
const HEADER = gvariantType('(tuuuusa(ayay))');
/** The same without the size: what the checksum is made over. */
const HASHED_HEADER = gvariantType('(uuuusa(ayay))');

const FILE_TYPE = 0o170000;
const REGULAR = 0o100000;
const LINK = 0o120000;
const REFUSED = new Map([
  [0o010000, 'a named pipe'],
  [0o020000, 'a character device'],
  [0o040000, 'a directory'],
  [0o060000, 'a block device'],
  [0o140000, 'a socket'],
]);

export interface FilezHeader {
  /** Bytes from the start of the file to its payload. */
  readonly length: number;
  readonly kind: 'regular' | 'symlink';
  /** Bytes of the content, inflated; 0 for a link. */
  readonly size: number;
  /** What the checksum is made over, before the content. */
  readonly hashed: Buffer;
}

/** Bytes of prefix and header, from the start of a filez, eight bytes at least; FormatError beyond MAX_HEADER_BYTES. */
export function filezHeaderLength(start: Buffer, subject: Subject): number {
  if (looksLikeHtml(start)) refuse(subject, 'it is an HTML page');
  const length = start.readUInt32BE(0);
  if (length > MAX_HEADER_BYTES) refuse(subject, `its header says to be ${length} bytes long: ${MAX_HEADER_BYTES} is the most`);
  if (start.readUInt32BE(4) !== 0) refuse(subject, 'it does not start as a filez object does');
  return PREFIX_BYTES + length;
}

/** Parses prefix and header, which are whole; FormatError for what is neither a regular file nor a symbolic link. */
export function parseFilezHeader(bytes: Buffer, subject: Subject): FilezHeader {
  const header = parseGVariant(HEADER, bytes.subarray(PREFIX_BYTES), subject) as [
    bigint,
    number,
    number,
    number,
    number,
    string,
    [Buffer, Buffer][],
  ];
  const [writtenSize, , , writtenMode, rdev, target, xattrs] = header;
  const mode = swap32(writtenMode);
  const kind = kindOf(mode, subject);
  if (rdev !== 0) refuse(subject, 'it has a device number, which only a device has');
  if (kind === 'regular' && target !== '') refuse(subject, 'it is a regular file with the target of a symbolic link');
  if (kind === 'symlink' && target === '') refuse(subject, 'it is a symbolic link without a target');
  xattrsOf(xattrs, subject);
  const size = sizeOf(writtenSize, subject);
  if (kind === 'symlink' && size !== 0) refuse(subject, 'it is a symbolic link with content');
  return { length: bytes.length, kind, size, hashed: hashedHeader(header.slice(1)) };
}

function kindOf(mode: number, subject: Subject): 'regular' | 'symlink' {
  checkMode(mode, subject);
  const type = mode & FILE_TYPE;
  if (type === REGULAR) return 'regular';
  if (type === LINK) return 'symlink';
  const refused = REFUSED.get(type) ?? `a file of the unknown mode 0${mode.toString(8)}`;
  return refuse(subject, `it is ${refused}: only regular files and symbolic links can be mirrored`);
}

function sizeOf(written: bigint, subject: Subject): number {
  const size = swap64(written);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) refuse(subject, `its header says that it holds ${size} bytes`);
  return Number(size);
}

function hashedHeader(members: readonly Value[]): Buffer {
  const header = serializeGVariant(HASHED_HEADER, members);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(header.length);
  return Buffer.concat([prefix, header]);
}
