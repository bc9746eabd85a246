import { compareBytes } from './byte-order.ts';
import { type Checksum, checksumFromBytes, checksumOf } from './checksum.ts';
import { refuse, type Subject } from './format-error.ts';
import { parseGVariant } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { MAX_METADATA_BYTES, ObjectType, objectName } from './object.ts';

/** Files: name, checksum. Directories: name, dirtree, dirmeta. */
const DIRTREE = gvariantType('(a(say)a(sayay))');

export interface DirTree {
  readonly files: readonly { readonly name: string; readonly checksum: Checksum }[];
  readonly dirs: readonly { readonly name: string; readonly tree: Checksum; readonly meta: Checksum }[];
}

/**
 * The directory that the bytes are: names sorted by bytes, each once, none of which leaves the directory. FormatError where they
 * are none. Whether they are the ones asked for: see verifyMetadata.
 */
export function parseDirTree(bytes: Buffer): DirTree {
  const subject = () => objectName(checksumOf(bytes), ObjectType.dirtree);
  if (bytes.length > MAX_METADATA_BYTES) refuse(subject, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  const [files, dirs] = parseGVariant(DIRTREE, bytes, subject) as [[string, Buffer][], [string, Buffer, Buffer][]];
  const tree = {
    files: files.map(([name, checksum]) => ({
      name,
      checksum: checksumFromBytes(checksum, subject, `the checksum of ${quote(name)}`),
    })),
    dirs: dirs.map(([name, tree, meta]) => ({
      name,
      tree: checksumFromBytes(tree, subject, `the dirtree of ${quote(name)}`),
      meta: checksumFromBytes(meta, subject, `the dirmeta of ${quote(name)}`),
    })),
  };
  checkNames(tree, subject);
  return tree;
}

const quote = (name: string): string => JSON.stringify(name.slice(0, 255));

function checkNames({ files, dirs }: DirTree, subject: Subject): void {
  for (const entries of [files, dirs]) {
    let last: string | undefined;
    for (const { name } of entries) {
      if (name === '' || name === '.' || name === '..' || name.includes('/')) {
        refuse(subject, `it has an entry of the name ${quote(name)}, which is none that a file may have`);
      }
      const order = last === undefined ? -1 : compareBytes(last, name);
      if (order === 0) refuse(subject, `it has two entries of the name ${quote(name)}`);
      if (order > 0) refuse(subject, `its entries are not sorted: ${quote(name)} is after ${quote(last as string)}`);
      last = name;
    }
  }
  const names = new Set(dirs.map(({ name }) => name));
  const both = files.find(({ name }) => names.has(name));
  if (both) refuse(subject, `it has both a file and a directory of the name ${quote(both.name)}`);
}
