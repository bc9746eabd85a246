import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { codeOf } from '../../../storage/full-disk.ts';
import { FormatError, refuse } from '../format/format-error.ts';

const SUBJECT = 'tar';
const CHUNK_BYTES = 64 * 1024;
/** As many bytes tell how the rest is compressed. */
const START_BYTES = 16;
/** What a tar inflates to: objects are compressed already, so that more than this many times its size is no repository. */
const MAX_INFLATION = 100;
const INFLATION_STARTS_AT = 64 * 1024 * 1024;
const MAX_SAID = 500;
/** How writing ends when who reads has ended first. */
const READER_GONE = ['ABORT_ERR', 'EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'];

/** How a tar is compressed. Without a program it is inflated here. */
interface Compression {
  readonly name: string;
  /** How the bytes start, in hexadecimal. */
  readonly start: RegExp;
  readonly program?: readonly string[];
}

const COMPRESSIONS: readonly Compression[] = [
  { name: 'gzip', start: /^1f8b/ },
  // `BZh` alone may be the name of a file in a tar.
  { name: 'bzip2', start: /^425a683[1-9](?:314159265359|177245385090)/, program: ['bzip2', '-dc'] },
  { name: 'xz', start: /^fd377a585a00/, program: ['xz', '-dc', '--memlimit-decompress=256MiB'] },
];

/** How bytes that start like this are compressed; undefined where they are not. */
export function compressionOf(head: Buffer): Compression | undefined {
  const text = head.toString('hex', 0, START_BYTES);
  return COMPRESSIONS.find(({ start }) => start.test(text));
}

/**
 * The bytes of a tar, inflated where they are compressed: by zlib, or by the programs of bzip2 and xz. FormatError where they cannot be,
 * and where they inflate without end.
 */
export async function* inflatedTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    const { done, value: first } = await chunks.next();
    if (done) return;
    const compression = compressionOf(Buffer.from(first.buffer, first.byteOffset, first.byteLength));
    const all = withFirst(first, { [Symbol.asyncIterator]: () => chunks });
    if (compression) yield* inflated(all, compression);
    else yield* all;
  } finally {
    await chunks.return?.();
  }
}

async function* withFirst(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  yield* rest;
}

/** Something that takes compressed bytes and gives inflated ones. */
interface Inflater {
  readonly input: Writable;
  readonly output: Readable;
  /** Resolves when it has ended; with a FormatError where the bytes were wrong. */
  ended(): Promise<Error | undefined>;
  stop(): void;
}

async function* inflated(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inflater = compression.program ? programInflater(compression.name, compression.program) : gzipInflater();
  let compressed = 0;
  const counted = async function* () {
    for await (const chunk of source) {
      compressed += chunk.byteLength;
      yield chunk;
    }
  };
  const feeding = pipeline(counted, inflater.input).then(
    () => undefined,
    (error: unknown) => error,
  );
  let size = 0;
  try {
    for await (const chunk of inflater.output as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > INFLATION_STARTS_AT && size > compressed * MAX_INFLATION) {
        refuse(SUBJECT, `it inflates to more than ${MAX_INFLATION} times its size`);
      }
      yield chunk;
    }
    const failure = await inflater.ended();
    if (failure) throw failure;
  } catch (error) {
    inflater.stop();
    throw await firstFailure(error, feeding, inflater);
  } finally {
    inflater.stop();
    await feeding;
  }
}

/** Of what has gone wrong, what the rest came of: the bytes, the source, the program. */
async function firstFailure(error: unknown, feeding: Promise<unknown>, inflater: Inflater): Promise<unknown> {
  const fed = await feeding;
  if (fed !== undefined && !READER_GONE.includes(codeOf(fed) ?? '')) return namedFailure(fed);
  return error instanceof FormatError ? error : ((await inflater.ended()) ?? namedFailure(error));
}

const namedFailure = (error: unknown): unknown =>
  error instanceof Error && codeOf(error)?.startsWith('Z_')
    ? new FormatError(`${SUBJECT}: it cannot be inflated: ${error.message}`, { cause: error })
    : error;

function gzipInflater(): Inflater {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  return { input: gunzip, output: gunzip, ended: () => Promise.resolve(undefined), stop: () => gunzip.destroy() };
}

function programInflater(name: string, [program = name, ...args]: readonly string[]): Inflater {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_SAID);
  });
  const closed = once(child, 'close').then(
    ([code]) =>
      code === 0 ? undefined : new FormatError(`${SUBJECT}: it cannot be inflated: ${said.trim() || `${program} failed`}`),
    (error: Error) =>
      codeOf(error) === 'ENOENT'
        ? new FormatError(
            `${SUBJECT}: it is compressed by ${name}, and the program ${program} is not installed on this worker: ` +
              'import it plain or compressed by gzip',
          )
        : error,
  );
  return {
    input: child.stdin,
    output: child.stdout,
    ended: () => closed,
    stop: () => void child.kill('SIGKILL'),
  };
}
