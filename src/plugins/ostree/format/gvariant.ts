import { isUtf8 } from 'node:buffer';
import { refuse, type Subject } from './format-error.ts';
import { align, framedSize, type GVariantType, gvariantType, MAX_DEPTH, offsetWidth } from './gvariant-type.ts';
import { looksLikeHtml } from './html-page.ts';

/** Values of one parse, all levels together: what a tree of 600,000 files in one directory takes. Bounds memory, not bytes. */
const MAX_VALUES = 2_000_000;
/** Where the type of a variant has to start, from its end. */
const MAX_VARIANT_TYPE = 1024;

/** A value together with its type. */
export interface Variant {
  readonly type: string;
  readonly value: Value;
}

/**
 * A GVariant in TypeScript: `y n q i u h` number, `x t` bigint, `d` its eight bytes as a bigint, `b` boolean, `s o g` string, `ay`
 * Buffer (a view of the input), `v` Variant, `m…` the value or null, other arrays, tuples and dictionary entries an array.
 * Numbers are read little-endian; what OSTree writes the other way round is turned by swap32 and swap64.
 */
export type Value = number | bigint | boolean | string | Buffer | null | Variant | readonly Value[];

const EMPTY_BYTES = Buffer.alloc(0);
const EMPTY_ARRAY: readonly Value[] = Object.freeze([]);
const SIGNATURE = 'g';
const OBJECT_PATH = /^\/(?:[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*)?$/;

interface Parse {
  readonly bytes: Buffer;
  readonly subject: Subject;
  values: number;
}

/** The value of `type` that the bytes are; FormatError, naming `subject`, unless they are its normal form to the last byte. */
export function parseGVariant(type: GVariantType, bytes: Buffer, subject: Subject): Value {
  return parseValue({ bytes, subject, values: 0 }, type, 0, bytes.length, 0);
}

function notNormal({ bytes, subject }: Parse, type: GVariantType, reason: string, at: number): never {
  if (looksLikeHtml(bytes)) refuse(subject, 'it is an HTML page');
  return refuse(subject, `it is not a GVariant of the normal form: ${type.signature} at byte ${at} ${reason}`);
}

function parseValue(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Value {
  if (depth > MAX_DEPTH) refuse(parse.subject, `its GVariant has more than ${MAX_DEPTH} levels`);
  parse.values += 1;
  if (parse.values > MAX_VALUES) refuse(parse.subject, `its GVariant holds more than ${MAX_VALUES} values`);
  if (type.fixedSize > 0 && end - start !== type.fixedSize) {
    notNormal(parse, type, `takes ${end - start} bytes, not ${type.fixedSize}`, start);
  }
  switch (type.code) {
    case 's':
    case 'o':
    case 'g':
      return parseString(parse, type, start, end);
    case 'v':
      return parseVariant(parse, type, start, end, depth);
    case 'm':
      return parseMaybe(parse, type, start, end, depth);
    case 'a':
      return parseArray(parse, type, start, end, depth);
    case '(':
    case '{':
      return parseTuple(parse, type, start, end, depth);
    default:
      return parseBasic(parse, type, start);
  }
}

function parseBasic(parse: Parse, type: GVariantType, at: number): Value {
  const { bytes } = parse;
  switch (type.code) {
    case 'y':
      return bytes.readUInt8(at);
    case 'b':
      if (bytes.readUInt8(at) > 1) notNormal(parse, type, 'is neither 0 nor 1', at);
      return bytes.readUInt8(at) === 1;
    case 'n':
      return bytes.readInt16LE(at);
    case 'q':
      return bytes.readUInt16LE(at);
    case 'i':
    case 'h':
      return bytes.readInt32LE(at);
    case 'u':
      return bytes.readUInt32LE(at);
    case 'x':
      return bytes.readBigInt64LE(at);
    default:
      return bytes.readBigUInt64LE(at);
  }
}

function parseString(parse: Parse, type: GVariantType, start: number, end: number): string {
  const { bytes } = parse;
  if (start === end || bytes[end - 1] !== 0) notNormal(parse, type, 'does not end in a zero byte', start);
  const text = bytes.toString('utf8', start, end - 1);
  if (text.includes('\0')) notNormal(parse, type, 'has a zero byte inside', start);
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end - 1))) notNormal(parse, type, 'is not UTF-8', start);
  if (type.code === 'o' && !OBJECT_PATH.test(text)) notNormal(parse, type, 'is not an object path', start);
  if (type.code === SIGNATURE) parseSignature(parse, text);
  return text;
}

/** A signature is any number of complete types, in 255 bytes. */
function parseSignature(parse: Parse, text: string): void {
  if (text.length > 255) refuse(parse.subject, 'a GVariant signature is longer than 255 characters');
  gvariantType(`(${text})`, parse.subject);
}

/** A variant: the value, a zero byte, its type. */
function parseVariant(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Variant {
  const { bytes } = parse;
  const lowest = Math.max(start, end - MAX_VARIANT_TYPE);
  let zero = end - 1;
  while (zero >= lowest && bytes[zero] !== 0) zero -= 1;
  if (zero < lowest) notNormal(parse, type, 'does not say its type', start);
  const inner = gvariantType(bytes.toString('latin1', zero + 1, end), parse.subject);
  return { type: inner.signature, value: parseValue(parse, inner, start, zero, depth + 1) };
}

function parseMaybe(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Value {
  if (start === end) return null;
  const item = type.items[0] as GVariantType;
  if (item.fixedSize > 0) return parseValue(parse, item, start, end, depth + 1);
  if (parse.bytes[end - 1] !== 0) notNormal(parse, type, 'does not end in a zero byte', start);
  return parseValue(parse, item, start, end - 1, depth + 1);
}

function parseArray(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Value {
  const item = type.items[0] as GVariantType;
  if (item.code === 'y') return start === end ? EMPTY_BYTES : parse.bytes.subarray(start, end);
  if (start === end) return EMPTY_ARRAY;
  if (item.fixedSize > 0) {
    if ((end - start) % item.fixedSize !== 0) notNormal(parse, type, 'does not hold whole elements', start);
    const items: Value[] = [];
    for (let at = start; at < end; at += item.fixedSize) items.push(parseValue(parse, item, at, at + item.fixedSize, depth + 1));
    return items;
  }
  return parseFramedArray(parse, type, start, end, depth);
}

/** Elements of differing sizes, then where each ends, in order. */
function parseFramedArray(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Value {
  const item = type.items[0] as GVariantType;
  const width = offsetWidth(end - start);
  if (end - start < width) notNormal(parse, type, 'is too short for its offsets', start);
  const body = parse.bytes.readUIntLE(end - width, width);
  const offsets = start + body;
  if (offsets > end - width || (end - offsets) % width !== 0) notNormal(parse, type, 'has an offset outside it', start);
  if (framedSize(body, (end - offsets) / width) !== end - start) notNormal(parse, type, 'has wider offsets than needed', start);
  const items: Value[] = [];
  let position = start;
  for (let at = offsets; at < end; at += width) {
    const itemEnd = start + parse.bytes.readUIntLE(at, width);
    const itemStart = align(position, item.alignment);
    if (itemStart > itemEnd || itemEnd > offsets) notNormal(parse, type, 'has an offset outside it', start);
    requireZeros(parse, type, position, itemStart);
    items.push(parseValue(parse, item, itemStart, itemEnd, depth + 1));
    position = itemEnd;
  }
  return items;
}

/** Members, aligned, then where each of differing size ends (but the last member), last first; dictionary entries alike. */
function parseTuple(parse: Parse, type: GVariantType, start: number, end: number, depth: number): Value {
  const { bytes } = parse;
  const { items } = type;
  const width = offsetWidth(end - start);
  const framed = type.fixedSize > 0 ? 0 : items.reduce((count, item, index) => count + isFramed(item, index, items), 0);
  const offsets = end - framed * width;
  if (offsets < start) notNormal(parse, type, 'is too short for its offsets', start);
  const values: Value[] = [];
  let position = start;
  let offset = end;
  for (const [index, item] of items.entries()) {
    const itemStart = align(position, item.alignment);
    let itemEnd = offsets;
    if (item.fixedSize > 0) itemEnd = itemStart + item.fixedSize;
    else if (isFramed(item, index, items)) {
      offset -= width;
      itemEnd = start + bytes.readUIntLE(offset, width);
    }
    if (itemStart > itemEnd || itemEnd > offsets) notNormal(parse, type, 'has an offset outside it', start);
    requireZeros(parse, type, position, itemStart);
    values.push(parseValue(parse, item, itemStart, itemEnd, depth + 1));
    position = itemEnd;
  }
  if (type.fixedSize > 0) requireZeros(parse, type, position, end);
  else if (position !== offsets) notNormal(parse, type, 'has bytes that belong to no member', start);
  else if (framedSize(offsets - start, framed) !== end - start) notNormal(parse, type, 'has wider offsets than needed', start);
  return values;
}

/** 1 where a tuple says where this member ends. */
const isFramed = (item: GVariantType, index: number, items: readonly GVariantType[]): 0 | 1 =>
  item.fixedSize === 0 && index < items.length - 1 ? 1 : 0;

function requireZeros(parse: Parse, type: GVariantType, start: number, end: number): void {
  for (let at = start; at < end; at += 1) {
    if (parse.bytes[at] !== 0) notNormal(parse, type, 'has padding that is not zero', at);
  }
}

/** A 32-bit number of the other byte order. */
export const swap32 = (value: number): number =>
  (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;

const swapBuffer = Buffer.alloc(8);
/** A 64-bit number of the other byte order. */
export function swap64(value: bigint): bigint {
  swapBuffer.writeBigUInt64LE(value);
  return swapBuffer.readBigUInt64BE();
}
