import { checksumOfKey, type ObjectKey, objectKey, typeOfKey, type UnitType } from '../content/known-objects.ts';
import type { Checksum } from '../format/checksum.ts';
import type { DirTree } from '../format/dirtree.ts';
import { FormatError } from '../format/format-error.ts';
import { ObjectType, objectName } from '../format/object.ts';

/** Directories inside each other: as many as libostree follows (OSTREE_MAX_RECURSION). */
const MAX_DEPTH = 256;

/**
 * The objects that a sync meets, each once and known by a number, and what lies in which dirtree. An object is followed once, however often
 * it is named, so that no cycle can be walked.
 */
export class ObjectGraph {
  readonly #numbers = new Map<ObjectKey, number>();
  readonly #keys: ObjectKey[] = [];
  /** How deep in a tree it was met first. */
  readonly #depths: number[] = [];
  readonly #children = new Map<number, Uint32Array>();
  readonly #ids: (string | undefined)[] = [];
  readonly #onFound: (object: number) => void;

  /** `onFound` is told of each object once, when it is met first. */
  constructor(onFound: (object: number) => void) {
    this.#onFound = onFound;
  }

  keyOf(object: number): ObjectKey {
    return this.#keys[object] as ObjectKey;
  }

  /** The object at the top of a commit: its root tree, or its dirmeta. */
  root(checksum: Checksum, typ: 2 | 3): number {
    return this.#find(objectKey(checksum, typ), 1);
  }

  /** An object by itself. */
  single(checksum: Checksum, typ: UnitType): void {
    this.#find(objectKey(checksum, typ), 0);
  }

  /** What is in a dirtree. FormatError where the directories are too many inside each other. */
  contents(object: number, { files, dirs }: DirTree): void {
    const depth = (this.#depths[object] as number) + 1;
    if (depth > MAX_DEPTH && dirs.length > 0) {
      const name = objectName(checksumOfKey(this.keyOf(object)), ObjectType.dirtree);
      throw new FormatError(`${name}: its directories are more than ${MAX_DEPTH} inside each other`);
    }
    const children = new Set<number>();
    for (const { checksum } of files) children.add(this.#find(objectKey(checksum, 1), depth));
    for (const { tree, meta } of dirs) {
      children.add(this.#find(objectKey(meta, 3), depth));
      children.add(this.#find(objectKey(tree, 2), depth));
    }
    this.#children.set(object, Uint32Array.from(children));
  }

  /** The object is saved. */
  saved(object: number, id: string): void {
    this.#ids[object] = id;
  }

  /** Ids of everything below these, themselves included; all of it is saved. */
  idsBelow(roots: readonly number[]): string[] {
    const seen = new Set(roots);
    // What is added to a set while it is walked is walked too.
    for (const object of seen) for (const child of this.#children.get(object) ?? []) seen.add(child);
    return Array.from(seen, (object) => this.#idOf(object));
  }

  #find(key: ObjectKey, depth: number): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const object = this.#keys.length;
    this.#numbers.set(key, object);
    this.#keys.push(key);
    this.#depths.push(depth);
    this.#onFound(object);
    return object;
  }

  #idOf(object: number): string {
    const id = this.#ids[object];
    if (id === undefined) {
      const key = this.keyOf(object);
      throw new Error(`${objectName(checksumOfKey(key), typeOfKey(key))} is referred to before it is saved`);
    }
    return id;
  }
}
