import type { Value, Variant } from './gvariant.ts';
import { align, framedSize, type GVariantType, gvariantType, MAX_DEPTH, offsetWidth } from './gvariant-type.ts';

/**
 * The normal form of a value of `type`: the inverse of parseGVariant. TypeError where the value is not of the type (a mistake of
 * the caller, not of an upstream).
 */
export function serializeGVariant(type: GVariantType, value: Value): Buffer {
  return write(type, value, 0);
}

function write(type: GVariantType, value: Value, depth: number): Buffer {
  if (depth > MAX_DEPTH) throw new TypeError(`a GVariant to write has more than ${MAX_DEPTH} levels`);
  switch (type.code) {
    case 's':
    case 'o':
    case 'g':
      return writeString(type, value);
    case 'v':
      return writeVariant(type, value, depth);
    case 'm':
      return writeMaybe(type, value, depth);
    case 'a':
      return writeArray(type, value, depth);
    case '(':
    case '{':
      return writeTuple(type, value, depth);
    default:
      return writeBasic(type, value);
  }
}

const mismatch = (type: GVariantType): never => {
  throw new TypeError(`a value is not of the GVariant type ${type.signature}`);
};

function writeBasic(type: GVariantType, value: Value): Buffer {
  const bytes = Buffer.alloc(type.fixedSize);
  if (type.code === 'b' && typeof value === 'boolean') bytes.writeUInt8(value ? 1 : 0);
  else if (type.code === 'y' && typeof value === 'number') bytes.writeUInt8(value);
  else if (type.code === 'n' && typeof value === 'number') bytes.writeInt16LE(value);
  else if (type.code === 'q' && typeof value === 'number') bytes.writeUInt16LE(value);
  else if ((type.code === 'i' || type.code === 'h') && typeof value === 'number') bytes.writeInt32LE(value);
  else if (type.code === 'u' && typeof value === 'number') bytes.writeUInt32LE(value);
  else if (type.code === 'x' && typeof value === 'bigint') bytes.writeBigInt64LE(value);
  else if ((type.code === 't' || type.code === 'd') && typeof value === 'bigint') bytes.writeBigUInt64LE(value);
  else mismatch(type);
  return bytes;
}

function writeString(type: GVariantType, value: Value): Buffer {
  if (typeof value !== 'string' || value.includes('\0') || !value.isWellFormed()) return mismatch(type);
  return Buffer.from(`${value}\0`, 'utf8');
}

function writeVariant(type: GVariantType, value: Value, depth: number): Buffer {
  if (!isVariant(value)) return mismatch(type);
  const inner = gvariantType(value.type);
  return Buffer.concat([write(inner, value.value, depth + 1), Buffer.from(`\0${inner.signature}`, 'latin1')]);
}

const isVariant = (value: Value): value is Variant =>
  typeof value === 'object' && value !== null && !Buffer.isBuffer(value) && 'type' in value;

function writeMaybe(type: GVariantType, value: Value, depth: number): Buffer {
  if (value === null) return Buffer.alloc(0);
  const item = type.items[0] as GVariantType;
  const bytes = write(item, value, depth + 1);
  return item.fixedSize > 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
}

function writeArray(type: GVariantType, value: Value, depth: number): Buffer {
  const item = type.items[0] as GVariantType;
  if (item.code === 'y') return Buffer.isBuffer(value) ? value : mismatch(type);
  if (!Array.isArray(value)) return mismatch(type);
  const body = new Body();
  const ends: number[] = [];
  for (const element of value) ends.push(body.add(item.alignment, write(item, element, depth + 1)));
  return item.fixedSize > 0 ? body.bytes() : body.framed(ends);
}

function writeTuple(type: GVariantType, value: Value, depth: number): Buffer {
  const { items } = type;
  if (!Array.isArray(value) || value.length !== items.length) return mismatch(type);
  if (items.length === 0) return Buffer.alloc(1);
  const body = new Body();
  const ends: number[] = [];
  for (const [index, item] of items.entries()) {
    const end = body.add(item.alignment, write(item, value[index] as Value, depth + 1));
    if (item.fixedSize === 0 && index < items.length - 1) ends.push(end);
  }
  if (type.fixedSize === 0) return body.framed(ends.reverse());
  body.add(type.alignment, Buffer.alloc(0));
  return body.bytes();
}

/** The members of a container, each at its alignment. */
class Body {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  /** Where it ends. */
  add(alignment: number, bytes: Buffer): number {
    const padding = align(this.#size, alignment) - this.#size;
    if (padding > 0) this.#chunks.push(Buffer.alloc(padding));
    this.#chunks.push(bytes);
    this.#size += padding + bytes.length;
    return this.#size;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks, this.#size);
  }

  /** The members and, behind them, the framing offsets. */
  framed(offsets: readonly number[]): Buffer {
    const size = framedSize(this.#size, offsets.length);
    const width = offsetWidth(size);
    const bytes = Buffer.alloc(size);
    let position = 0;
    for (const chunk of this.#chunks) position += chunk.copy(bytes, position);
    for (const offset of offsets) position = bytes.writeUIntLE(offset, position, width);
    return bytes;
  }
}
