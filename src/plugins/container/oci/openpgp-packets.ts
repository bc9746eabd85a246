import { inflateRawSync, inflateSync } from 'node:zlib';
import { RegistryError } from './registry-error.ts';

/** A packet of an OpenPGP message (RFC 9580, 4). */
export interface Packet {
  readonly tag: number;
  readonly body: Buffer;
}

/** What a signature packet says of itself. Nothing here is verified. */
export interface SignatureFacts {
  /** The long key id: 16 upper-case hexadecimal digits; undefined where the packet names none. */
  readonly keyId: string | undefined;
  /** Upper-case hexadecimal digits. */
  readonly fingerprint: string | undefined;
  /** Seconds since 1970; undefined where the packet does not say. */
  readonly created: number | undefined;
}

const SIGNATURE = 2;
const COMPRESSED = 8;
const LITERAL = 11;
const MAX_INFLATED_BYTES = 1024 * 1024;
const ARMOR = /^-----BEGIN PGP (?:SIGNED )?MESSAGE-----\r?\n/;

const broken = (why: string): RegistryError => new RegistryError('signature', `A signature is not an OpenPGP message: ${why}`);

/** Reads bytes in order; asking for more than there are is the end of the message's credit. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get left(): number {
    return this.#bytes.byteLength - this.#at;
  }
  take(length: number): Buffer {
    if (length > this.left) throw broken('it ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
  number(bytes: 1 | 2 | 4): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }
}

/** The packets of a binary message, those inside of compressed ones in place of these. Throws RegistryError `signature`. */
export function readPackets(message: Buffer): Packet[] {
  if (ARMOR.test(message.toString('latin1', 0, 64))) throw broken('it is armored text; the binary form is needed');
  return packetsOf(message, 0);
}

function packetsOf(message: Buffer, depth: number): Packet[] {
  if (depth > 2) throw broken('it is compressed more than twice');
  const reader = new Reader(message);
  const packets: Packet[] = [];
  while (reader.left > 0) {
    const packet = readPacket(reader);
    if (packet.tag === COMPRESSED) packets.push(...packetsOf(inflate(packet.body), depth + 1));
    else packets.push(packet);
  }
  return packets;
}

/** One packet, in the format of today or of old (RFC 9580, 4.2). */
function readPacket(reader: Reader): Packet {
  const head = reader.number(1);
  if ((head & 0x80) === 0) throw broken('no packet begins where one should');
  if ((head & 0x40) === 0) {
    const size = ([1, 2, 4] as const)[head & 3];
    const body = size === undefined ? reader.take(reader.left) : reader.take(reader.number(size));
    return { tag: (head >> 2) & 15, body };
  }
  const parts: Buffer[] = [];
  for (;;) {
    const { length, partial } = readLength(reader);
    parts.push(reader.take(length));
    if (!partial) return { tag: head & 63, body: parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts) };
  }
}

function readLength(reader: Reader): { length: number; partial: boolean } {
  const first = reader.number(1);
  if (first < 192) return { length: first, partial: false };
  if (first < 224) return { length: ((first - 192) << 8) + reader.number(1) + 192, partial: false };
  if (first < 255) return { length: 1 << (first & 31), partial: true };
  return { length: reader.number(4), partial: false };
}

function inflate(body: Buffer): Buffer {
  const algorithm = body[0];
  const data = body.subarray(1);
  const options = { maxOutputLength: MAX_INFLATED_BYTES };
  try {
    if (algorithm === 0) return data;
    if (algorithm === 1) return inflateRawSync(data, options);
    if (algorithm === 2) return inflateSync(data, options);
  } catch (cause) {
    throw new RegistryError('signature', 'A signature is not an OpenPGP message: its compressed part cannot be read', { cause });
  }
  throw broken(`it is compressed in an unsupported way (${algorithm})`);
}

/** The text that was signed: the body of the literal packet (RFC 9580, 5.9). */
export function literalData(packets: readonly Packet[]): Buffer {
  const literal = packets.find(({ tag }) => tag === LITERAL);
  if (!literal) throw broken('it holds no text');
  const reader = new Reader(literal.body);
  reader.take(1);
  reader.take(reader.number(1));
  reader.take(4);
  return reader.take(reader.left);
}

/** What the first signature packet says (RFC 9580, 5.2). */
export function signatureFacts(packets: readonly Packet[]): SignatureFacts {
  const signature = packets.find(({ tag }) => tag === SIGNATURE);
  if (!signature) throw broken('it is not signed');
  const reader = new Reader(signature.body);
  const version = reader.number(1);
  if (version === 3) {
    reader.take(2);
    const created = reader.number(4);
    return { keyId: hex(reader.take(8)), fingerprint: undefined, created };
  }
  if (version !== 4 && version !== 6) throw broken(`its signature is of the unknown version ${version}`);
  reader.take(3);
  const size = version === 6 ? 4 : 2;
  const hashed = reader.take(reader.number(size));
  const unhashed = reader.take(reader.number(size));
  return factsOf([...readSubpackets(hashed), ...readSubpackets(unhashed)]);
}

const CREATED = 2;
const ISSUER = 16;
const ISSUER_FINGERPRINT = 33;

function factsOf(subpackets: readonly Packet[]): SignatureFacts {
  // The first of a type counts: hashed ones come first.
  const find = (type: number): Buffer | undefined => subpackets.find(({ tag }) => tag === type)?.body;
  const created = find(CREATED);
  const print = find(ISSUER_FINGERPRINT);
  const fingerprint = print === undefined ? undefined : print.subarray(1);
  // A version 4 fingerprint ends with the key id, a version 6 one begins with it.
  const derived = fingerprint && (print?.[0] === 6 ? fingerprint.subarray(0, 8) : fingerprint.subarray(-8));
  const keyId = find(ISSUER) ?? derived;
  return {
    keyId: keyId && hex(keyId),
    fingerprint: fingerprint && hex(fingerprint),
    created: created?.byteLength === 4 ? created.readUInt32BE(0) : undefined,
  };
}

function readSubpackets(area: Buffer): Packet[] {
  const reader = new Reader(area);
  const subpackets: Packet[] = [];
  while (reader.left > 0) {
    const first = reader.number(1);
    const length = first < 192 ? first : first < 255 ? ((first - 192) << 8) + reader.number(1) + 192 : reader.number(4);
    const body = reader.take(length);
    const type = body[0];
    if (type === undefined) throw broken('an empty subpacket');
    subpackets.push({ tag: type & 0x7f, body: body.subarray(1) });
  }
  return subpackets;
}

const hex = (bytes: Buffer): string => bytes.toString('hex').toUpperCase();
