import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';

/**
 * A signer of "atomic container signatures": OpenPGP messages (RFC 4880 with the Ed25519 keys of its draft successor)
 * around a small JSON. Made here, so that tests need no gpg and no key ring.
 */
export interface AtomicSigner {
  /** The long key id, 16 upper-case hex digits. */
  readonly keyId: string;
  /** 40 upper-case hex digits. */
  readonly fingerprint: string;
  /** The public key as `gpg --import` takes it, binary. */
  readonly publicKey: Buffer;
  /** A signature that `digest` is the image known as `dockerReference`. */
  sign(dockerReference: string, digest: string): Buffer;
  /** The signed message around any payload, for signatures that say something odd. */
  signPayload(payload: string): Buffer;
}

const CREATED = 1_704_067_200; // 2024-01-01, so that equal seeds give equal bytes
const EDDSA = 22;
const SHA256 = 8;
const TAG = { signature: 2, onePass: 4, publicKey: 6, literal: 11, userId: 13 } as const;
const SUBPACKET = { created: 2, issuer: 16, keyFlags: 27, issuerFingerprint: 33 } as const;

/** Makes a signer whose key follows from `seed`. */
export function atomicSigner(seed: string): AtomicSigner {
  const secret = createHash('sha256').update(seed).digest();
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), secret]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const point = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  const curve = Buffer.from('092b06010401da470f01', 'hex');
  const body = Buffer.concat([
    Buffer.from([4]),
    uint32(CREATED),
    Buffer.from([EDDSA]),
    curve,
    mpi(Buffer.concat([Buffer.from([0x40]), point])),
  ]);
  const framed = Buffer.concat([Buffer.from([0x99]), uint16(body.length), body]);
  const fingerprint = createHash('sha1').update(framed).digest();
  const identity: Identity = { key, fingerprint };

  const userId = Buffer.from(`${seed} <signer@example.org>`);
  const certified = Buffer.concat([framed, Buffer.from([0xb4]), uint32(userId.length), userId]);
  const certificate = signaturePacket(identity, 0x13, certified, [subpacket(SUBPACKET.keyFlags, Buffer.from([3]))]);
  return {
    keyId: fingerprint.subarray(-8).toString('hex').toUpperCase(),
    fingerprint: fingerprint.toString('hex').toUpperCase(),
    publicKey: Buffer.concat([packet(TAG.publicKey, body), packet(TAG.userId, userId), certificate]),
    sign: (dockerReference, digest) => signedMessage(identity, atomicPayload(dockerReference, digest)),
    signPayload: (payload) => signedMessage(identity, payload),
  };
}

interface Identity {
  key: KeyObject;
  fingerprint: Buffer;
}

function atomicPayload(dockerReference: string, digest: string): string {
  return JSON.stringify({
    critical: {
      identity: { 'docker-reference': dockerReference },
      image: { 'docker-manifest-digest': digest },
      type: 'atomic container signature',
    },
    optional: { creator: 'test', timestamp: CREATED },
  });
}

/** One-pass signature, literal data and signature packet, uncompressed. */
function signedMessage(identity: Identity, payload: string): Buffer {
  const data = Buffer.from(payload);
  const onePass = Buffer.concat([Buffer.from([3, 0, SHA256, EDDSA]), identity.fingerprint.subarray(-8), Buffer.from([1])]);
  const literal = Buffer.concat([Buffer.from('b\0'), uint32(CREATED), data]);
  return Buffer.concat([packet(TAG.onePass, onePass), packet(TAG.literal, literal), signaturePacket(identity, 0, data, [])]);
}

/** A version 4 signature packet over `data` (RFC 4880, 5.2.3 and 5.2.4). */
function signaturePacket({ key, fingerprint }: Identity, type: number, data: Buffer, further: readonly Buffer[]): Buffer {
  const hashedSubpackets = Buffer.concat([
    subpacket(SUBPACKET.created, uint32(CREATED)),
    subpacket(SUBPACKET.issuerFingerprint, Buffer.concat([Buffer.from([4]), fingerprint])),
    ...further,
  ]);
  const head = Buffer.concat([Buffer.from([4, type, EDDSA, SHA256]), uint16(hashedSubpackets.length), hashedSubpackets]);
  const trailer = Buffer.concat([Buffer.from([4, 0xff]), uint32(head.length)]);
  const hash = createHash('sha256').update(data).update(head).update(trailer).digest();
  const signature = sign(null, hash, key);
  const issuer = subpacket(SUBPACKET.issuer, fingerprint.subarray(-8));
  const parts = [
    head,
    uint16(issuer.length),
    issuer,
    hash.subarray(0, 2),
    mpi(signature.subarray(0, 32)),
    mpi(signature.subarray(32)),
  ];
  return packet(TAG.signature, Buffer.concat(parts));
}

/** A packet with a new-format header (RFC 4880, 4.2.2), always with the five-octet length. */
function packet(tag: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xc0 | tag, 0xff]), uint32(body.length), body]);
}

function subpacket(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([body.length + 1, type]), body]);
}

/** A multiprecision integer: bit length, then the bytes without leading zeros (RFC 4880, 3.2). */
function mpi(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.alloc(0) : bytes.subarray(first);
  const bits = digits.length === 0 ? 0 : digits.length * 8 - Math.clz32(digits.readUInt8(0)) + 24;
  return Buffer.concat([uint16(bits), digits]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
