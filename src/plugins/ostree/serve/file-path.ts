import type { Checksum } from '../format/checksum.ts';
import { parseDeltaIndexPath, parseDeltaPath } from '../format/delta-name.ts';
import { ObjectType, parseObjectPath } from '../format/object.ts';

/** What a path below a distribution names, by the kind of unit that holds it. */
export type FilePath =
  | { readonly kind: 'config' | 'summary' }
  | { readonly kind: 'ref'; readonly name: string }
  | { readonly kind: 'commit'; readonly checksum: Checksum }
  | { readonly kind: 'object'; readonly checksum: Checksum; readonly type: 1 | 2 | 3 }
  /** A file that is kept under its path: signatures, deltas, delta indexes. */
  | { readonly kind: 'content' };

const REFS = 'refs/heads/';

/** Parses a decoded path; whatever is nothing else may be a unit that is kept under its path. */
export function parseFilePath(path: string): FilePath {
  if (path === 'config' || path === 'summary') return { kind: path };
  if (path.startsWith(REFS)) return { kind: 'ref', name: path.slice(REFS.length) };
  const object = parseObjectPath(path);
  if (object?.type === ObjectType.commit) return { kind: 'commit', checksum: object.checksum };
  if (object && object.type <= ObjectType.dirmeta) {
    return { kind: 'object', checksum: object.checksum, type: object.type as 1 | 2 | 3 };
  }
  return { kind: 'content' };
}

/**
 * Whether an archive repository has a file at such a path, if anything: then it is no folder. Clients ask for many such files that
 * are not there: signatures, detached metadata, deltas.
 */
export const isFilePath = (path: string): boolean =>
  path === 'config' ||
  path === 'summary' ||
  path === 'summary.sig' ||
  parseObjectPath(path) !== undefined ||
  parseDeltaPath(path) !== undefined ||
  parseDeltaIndexPath(path) !== undefined;
