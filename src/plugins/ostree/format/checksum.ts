import { hash } from 'node:crypto';
import { z } from 'zod';
import { refuse, type Subject } from './format-error.ts';

const GRAMMAR = /^[0-9a-f]{64}$/;
const BYTES = 32;

/** Parses a checksum at an edge: a ref file, a request. */
export const checksumSchema = z.string().regex(GRAMMAR, 'must be 64 lower case hexadecimal digits').brand<'Checksum'>();

/** The name of an object: sha256 as 64 lower case hexadecimal digits. Safe to build a path or a URL from. */
export type Checksum = z.output<typeof checksumSchema>;

const isChecksum = (text: string): text is Checksum => GRAMMAR.test(text);

/** The text as a checksum, or undefined where it is none. */
export const parseChecksum = (text: string): Checksum | undefined => (isChecksum(text) ? text : undefined);

/** The sha256 of bytes held whole: the checksum of a commit, a dirtree and a dirmeta. Not that of a file: see filez.ts. */
export const checksumOf = (bytes: Uint8Array): Checksum => hash('sha256', bytes) as Checksum;

/** FormatError, naming `subject`, where the sha256 of bytes is another one. */
export function checkBytes(bytes: Uint8Array, expected: Checksum, subject: Subject): void {
  const actual = checksumOf(bytes);
  if (actual !== expected) refuse(subject, `its bytes have the checksum ${actual}, not ${expected}`);
}

/** The checksum that 32 bytes are; FormatError, naming `subject` and `what`, where they are not 32. */
export function checksumFromBytes(bytes: Buffer, subject: Subject, what: string): Checksum {
  if (bytes.length !== BYTES) refuse(subject, `${what} is ${bytes.length} bytes long, not ${BYTES}`);
  return bytes.toString('hex') as Checksum;
}

/** Its 32 bytes. */
export const checksumToBytes = (checksum: Checksum): Buffer => Buffer.from(checksum, 'hex');
