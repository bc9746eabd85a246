import { checksumOf } from './checksum.ts';
import { refuse, type Subject } from './format-error.ts';
import { parseGVariant, swap32 } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { MAX_METADATA_BYTES, ObjectType, objectName } from './object.ts';

/** uid, gid, mode (big-endian), extended attributes. */
const DIRMETA = gvariantType('(uuua(ayay))');
const FILE_TYPE = 0o170000;
const PERMISSIONS = 0o7777;
const DIRECTORY = 0o040000;

/** An extended attribute; the name is bytes, without the zero byte that ends it on the wire. */
export interface Xattr {
  readonly name: Buffer;
  readonly value: Buffer;
}

export interface DirMeta {
  readonly uid: number;
  readonly gid: number;
  /** With the bits that say it is a directory. */
  readonly mode: number;
  readonly xattrs: readonly Xattr[];
}

/** The owner and mode of a directory; FormatError where the bytes are none. Whether they are the ones asked for: see verifyMetadata. */
export function parseDirMeta(bytes: Buffer): DirMeta {
  const subject = () => objectName(checksumOf(bytes), ObjectType.dirmeta);
  if (bytes.length > MAX_METADATA_BYTES) refuse(subject, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  const [uid, gid, written, xattrs] = parseGVariant(DIRMETA, bytes, subject) as [number, number, number, [Buffer, Buffer][]];
  const mode = swap32(written);
  if ((mode & FILE_TYPE) !== DIRECTORY) refuse(subject, `its mode, 0${mode.toString(8)}, is not that of a directory`);
  checkMode(mode, subject);
  return { uid: swap32(uid), gid: swap32(gid), mode, xattrs: xattrsOf(xattrs, subject) };
}

/** FormatError where a mode has bits beside the kind of file and the permissions. */
export function checkMode(mode: number, subject: Subject): void {
  if ((mode & ~(FILE_TYPE | PERMISSIONS)) !== 0) refuse(subject, `its mode, 0${mode.toString(8)}, has bits that no mode has`);
}

/** Extended attributes from the wire; FormatError where a name is empty or not ended by its one zero byte. */
export function xattrsOf(written: readonly (readonly [Buffer, Buffer])[], subject: Subject): Xattr[] {
  return written.map(([name, value]) => {
    if (name.length < 2 || name.indexOf(0) !== name.length - 1) refuse(subject, 'the name of an extended attribute is malformed');
    return { name: name.subarray(0, -1), value };
  });
}
