import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FormatError } from '../../../src/plugins/ostree/format/format-error.ts';
import { FUZZ_TARGETS, type FuzzTarget } from './fuzz-targets.ts';
import { Random } from './random.ts';

/** No parser takes a tenth of this for what is made here; a machine may be busy. */
const MAX_CASE_MS = 5000;
/** Compiled code and caches are there after as many. */
const WARM_UP = 3000;
const MAX_KEPT_BYTES = 16 * 1024 * 1024;
const MAX_PEAK_BYTES = 256 * 1024 * 1024;
const MAX_MUTATIONS = 4;
const MAX_BYTES = 64 * 1024;

export interface FuzzReport {
  readonly cases: number;
  readonly refused: number;
  readonly slowestMs: number;
  /** More bytes on the heap and in buffers at the end than after the first cases. */
  readonly keptBytes: number;
  /** The most memory of the process, over what it had after the first cases. */
  readonly peakBytes: number;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Whether to go on, asked before each case. */
  readonly goOn: (cases: number) => boolean;
}

/**
 * Feeds changed objects to every parser. Each case follows from the seed and its number alone. Error, naming both, for the first
 * case that ends in anything but an answer or a FormatError or takes too long, and for memory that grows.
 */
export async function fuzz({ seed, goOn }: FuzzOptions): Promise<FuzzReport> {
  const collect = garbageCollector();
  const report = { cases: 0, refused: 0, slowestMs: 0, keptBytes: 0, peakBytes: 0 };
  let before = { kept: 0, peak: 0 };
  while (goOn(report.cases)) {
    if (report.cases === WARM_UP) {
      collect();
      before = { kept: keptBytes(), peak: peakBytes() };
    }
    const started = performance.now();
    if (!(await accepts(seed, report.cases))) report.refused += 1;
    const took = performance.now() - started;
    if (took > MAX_CASE_MS) throw new Error(`${caseName(seed, report.cases)} took ${Math.round(took)} ms`);
    report.slowestMs = Math.max(report.slowestMs, took);
    report.cases += 1;
  }
  if (report.cases <= WARM_UP) return report;
  collect();
  report.keptBytes = keptBytes() - before.kept;
  report.peakBytes = peakBytes() - before.peak;
  if (report.keptBytes > MAX_KEPT_BYTES)
    throw new Error(`seed ${seed}: ${report.keptBytes} bytes more are kept than at the start`);
  if (report.peakBytes > MAX_PEAK_BYTES) throw new Error(`seed ${seed}: the process grew by ${report.peakBytes} bytes`);
  return report;
}

const caseName = (seed: number, index: number): string => `case ${index} of seed ${seed}`;

async function accepts(seed: number, index: number): Promise<boolean> {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ index);
  const target = random.pick(FUZZ_TARGETS);
  const bytes = changed(target, random);
  try {
    await target.take(bytes, random);
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw new Error(`${caseName(seed, index)}, a ${target.name} of the bytes ${bytes.toString('hex')}: ${error}`, {
      cause: error,
    });
  }
}

/** Something of the corpus, or of another parser's, changed in a few places. */
function changed({ corpus }: FuzzTarget, random: Random): Buffer {
  const source = random.below(20) === 0 ? random.pick(FUZZ_TARGETS).corpus : corpus;
  let bytes: Buffer = Buffer.from(random.pick(source));
  for (let left = random.below(MAX_MUTATIONS + 1); left > 0; left -= 1) bytes = random.pick(MUTATIONS)(bytes, random, corpus);
  return bytes.subarray(0, MAX_BYTES);
}

type Mutation = (bytes: Buffer, random: Random, corpus: readonly Buffer[]) => Buffer;

const ODD_BYTES = [0, 1, 0x2e, 0x2f, 0x7f, 0x80, 0xff];
const ODD_NUMBERS = [0n, 1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x7fffffffffffffffn, 0xffffffffffffffffn];

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => at(bytes, random, (position) => (bytes[position] = (bytes[position] as number) ^ (1 << random.below(8)))),
  (bytes, random) => at(bytes, random, (position) => (bytes[position] = random.pick(ODD_BYTES))),
  (bytes, random) => at(bytes, random, (position) => (bytes[position] = (bytes[position] as number) + (random.below(2) * 2 - 1))),
  // Framing offsets are at the end.
  (bytes, random) => at(bytes, random, (position) => (bytes[bytes.length - 1 - (position % 8)] = random.next() & 0xff)),
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, random) => bytes.subarray(random.below(bytes.length + 1)),
  (bytes, random) => Buffer.concat([bytes, random.bytes(random.below(16))]),
  (bytes, random) => insert(bytes, random, random.bytes(1 + random.below(8))),
  (bytes, random) => insert(bytes, random, Buffer.alloc(1 + random.below(300))),
  (bytes, random) => insert(bytes, random, piece(bytes, random)),
  (bytes, random, corpus) => insert(bytes, random, piece(random.pick(corpus), random)),
  (bytes, random) => {
    const gone = piece(bytes, random);
    const start = gone.byteOffset - bytes.byteOffset;
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + gone.length)]);
  },
  (bytes, random) => {
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(random.pick(ODD_NUMBERS));
    return at(bytes, random, (position) => number.copy(bytes, position, 0, random.pick([1, 2, 4, 8])));
  },
  // A variant in a variant in a variant.
  (bytes, random) => insert(bytes, random, Buffer.from('\0v'.repeat(1 + random.below(200)))),
];

/** Changes a copy's bytes at some place; nothing has none. */
function at(bytes: Buffer, random: Random, change: (position: number) => unknown): Buffer {
  if (bytes.length > 0) change(random.below(bytes.length));
  return bytes;
}

function insert(bytes: Buffer, random: Random, more: Buffer): Buffer {
  const position = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, position), more, bytes.subarray(position)]);
}

function piece(bytes: Buffer, random: Random): Buffer {
  const start = random.below(bytes.length + 1);
  return bytes.subarray(start, start + random.below(64));
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

function keptBytes(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;
