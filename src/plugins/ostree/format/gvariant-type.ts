import { refuse, type Subject } from './format-error.ts';

/** Characters of a type; no thing of OSTree needs 100. */
const MAX_TYPE_LENGTH = 1024;
/** Containers in containers: GLib's own limit (G_VARIANT_MAX_RECURSION_DEPTH). */
export const MAX_DEPTH = 128;
/** Types inside variants come from outside: only so many are kept. */
const MAX_CACHED = 256;

/** A GVariant type, taken apart (the GVariant specification, 2.4 "Layout"). */
export interface GVariantType {
  readonly signature: string;
  /** Its first character: a letter for a basic type, `v`, `a`, `m`, `(` or `{`. */
  readonly code: string;
  /** Bytes: 1, 2, 4 or 8. */
  readonly alignment: number;
  /** Bytes; 0 where values differ in size. */
  readonly fixedSize: number;
  /** The element of an array or a maybe, the members of a tuple or a dictionary entry. */
  readonly items: readonly GVariantType[];
}

const BASIC_SIZES: Readonly<Record<string, number>> = {
  y: 1,
  b: 1,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 0,
  o: 0,
  g: 0,
};

const cache = new Map<string, GVariantType>();

/** The parts of one complete type; FormatError, naming `subject`, for anything else. */
export function gvariantType(signature: string, subject: Subject = 'GVariant'): GVariantType {
  const known = cache.get(signature);
  if (known) return known;
  if (signature.length > MAX_TYPE_LENGTH) refuse(subject, `a GVariant type is longer than ${MAX_TYPE_LENGTH} characters`);
  const reader: Reader = { signature, position: 0, subject };
  const type = readType(reader, 0);
  if (reader.position !== signature.length) invalid(reader);
  if (cache.size < MAX_CACHED) cache.set(signature, type);
  return type;
}

interface Reader {
  readonly signature: string;
  position: number;
  readonly subject: Subject;
}

const invalid = ({ signature, subject }: Reader): never =>
  refuse(subject, `${JSON.stringify(signature.slice(0, 60))} is not a GVariant type`);

function readType(reader: Reader, depth: number): GVariantType {
  if (depth > MAX_DEPTH) refuse(reader.subject, `a GVariant type has more than ${MAX_DEPTH} levels`);
  const start = reader.position;
  const code = reader.signature[reader.position++];
  const signature = () => reader.signature.slice(start, reader.position);
  switch (code) {
    case 'v':
      return { signature: 'v', code, alignment: 8, fixedSize: 0, items: [] };
    case 'a':
    case 'm': {
      const item = readType(reader, depth + 1);
      return { signature: signature(), code, alignment: item.alignment, fixedSize: 0, items: [item] };
    }
    case '(':
    case '{': {
      const items = readMembers(reader, code, depth);
      return { signature: signature(), code, ...sizesOf(items), items };
    }
    default: {
      const size = code === undefined ? undefined : BASIC_SIZES[code];
      if (code === undefined || size === undefined) return invalid(reader);
      return { signature: code, code, alignment: Math.max(size, 1), fixedSize: size, items: [] };
    }
  }
}

function readMembers(reader: Reader, open: string, depth: number): GVariantType[] {
  const close = open === '(' ? ')' : '}';
  const items: GVariantType[] = [];
  while (reader.signature[reader.position] !== close) items.push(readType(reader, depth + 1));
  reader.position += 1;
  if (open === '{' && (items.length !== 2 || items[0]?.code === undefined || !(items[0].code in BASIC_SIZES))) invalid(reader);
  return items;
}

/** A tuple is of fixed size where all its members are; one of none takes a byte. */
function sizesOf(items: readonly GVariantType[]): { alignment: number; fixedSize: number } {
  const alignment = items.reduce((most, item) => Math.max(most, item.alignment), 1);
  if (items.length === 0) return { alignment, fixedSize: 1 };
  if (items.some((item) => item.fixedSize === 0)) return { alignment, fixedSize: 0 };
  const end = items.reduce((position, item) => align(position, item.alignment) + item.fixedSize, 0);
  return { alignment, fixedSize: align(end, alignment) };
}

/** The next multiple of `alignment` at or after `position`. */
export const align = (position: number, alignment: number): number => Math.ceil(position / alignment) * alignment;

/** Bytes of one framing offset in a container of `size` bytes. */
export const offsetWidth = (size: number): 1 | 2 | 4 => (size <= 0xff ? 1 : size <= 0xffff ? 2 : 4);

/** Bytes of a container with `body` bytes of members and `count` framing offsets: the narrowest that hold it. */
export function framedSize(body: number, count: number): number {
  for (const width of [1, 2]) {
    const size = body + count * width;
    if (offsetWidth(size) <= width) return size;
  }
  return body + count * 4;
}
