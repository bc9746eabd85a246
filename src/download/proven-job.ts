import { createReadStream } from 'node:fs';
import { checksumsOf, RunningChecksums } from '../lib/checksums.ts';
import { LargeFile } from '../lib/large-file.ts';
import { fetchInto, type JobContext, type TransferJob } from './download-job.ts';
import { type BodyProof, loadProof, proving } from './proof.ts';
import { Resume } from './resume.ts';
import { withRetries } from './retry.ts';
import type { Downloaded } from './upstream.ts';
import { publicUrl, UpstreamError } from './upstream-error.ts';

/** A body of unknown size to fetch, which a module proves. */
export interface ProvenJob extends TransferJob {
  readonly proof: BodyProof;
  /** Up to so many bytes are held. */
  readonly maxHeld: number;
  /** Where a larger body goes; undefined: it is refused. */
  readonly path: string | undefined;
}

/** What has been fetched and proven; `bytes` where they were held. */
export interface ProvenResult extends Downloaded {
  readonly bytes: Buffer | undefined;
}

/** Fetches the body, tries again where that helps, and resolves when it is proven. For a thread that has nothing else to do. */
export async function runProven(job: ProvenJob, context: JobContext): Promise<ProvenResult> {
  context.signal.throwIfAborted();
  const body = new ProvenBody(job);
  try {
    return await withRetries({ ...context, tries: context.settings.tries }, async () => {
      try {
        await fetchInto(body, job, context);
        return await body.finish();
      } catch (error) {
        if (error instanceof UpstreamError && !body.resumable(error)) body.restart();
        throw error;
      }
    });
  } finally {
    body.close();
  }
}

/** The bytes so far: held, until they are too many; in a file from then on. */
class ProvenBody {
  readonly resume = new Resume(undefined);
  /** Where the bytes came from in the end. */
  url: string;
  readonly #job: ProvenJob;
  #held: Buffer[] = [];
  #file: { readonly body: LargeFile; readonly path: string; readonly checksums: RunningChecksums } | undefined;

  constructor(job: ProvenJob) {
    this.#job = job;
    this.url = job.url;
  }

  /** Takes a part of a transfer, of which some may be there already. The memory of `part` is used again. */
  add(part: Buffer): void {
    const fresh = this.resume.take(part, this.url);
    if (!this.#file && this.resume.received <= this.#job.maxHeld) {
      this.#held.push(Buffer.from(fresh));
      return;
    }
    this.#file ??= this.#open();
    for (const bytes of [...this.#held, fresh]) {
      this.#file.checksums.update(bytes);
      this.#file.body.append(bytes);
    }
    this.#held = [];
  }

  async finish(): Promise<ProvenResult> {
    this.resume.finish(this.url);
    const { proof } = this.#job;
    const { prove, check } = await loadProof(proof);
    if (this.#file) {
      const { path, checksums } = this.#file;
      const stream = await proving(this.url, () => check(proof.expected));
      try {
        for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
          await proving(this.url, () => stream.update(chunk as Buffer));
        }
        await proving(this.url, () => stream.finish());
      } finally {
        stream.destroy?.();
      }
      return { size: this.resume.received, checksums: checksums.finish(), bytes: undefined };
    }
    const [only, ...more] = this.#held;
    const bytes = only && more.length === 0 ? only : Buffer.concat(this.#held);
    await proving(this.url, () => prove(bytes, proof.expected));
    return { size: bytes.byteLength, checksums: checksumsOf(this.#job.checksums, bytes), bytes };
  }

  /** Whether what is there may be kept for the next try: not after bytes that turned out wrong. */
  resumable({ kind }: UpstreamError): boolean {
    return kind !== 'checksum' && kind !== 'size' && kind !== 'protocol' && this.resume.received > 0;
  }

  restart(): void {
    this.#held = [];
    this.#file?.body.restart();
    this.close();
    this.resume.restart();
  }

  close(): void {
    this.#file?.body.close();
    this.#file = undefined;
  }

  #open() {
    const { path, maxHeld, checksums } = this.#job;
    if (path === undefined) throw tooLarge(this.url, maxHeld);
    return { body: new LargeFile(path), path, checksums: new RunningChecksums(checksums) };
  }
}

/** A body that is neither to be held nor to be written. */
export function tooLarge(url: string, maxBytes: number): UpstreamError {
  const shown = publicUrl(url);
  return new UpstreamError('too-large', shown, `The answer of ${shown} is larger than ${maxBytes} bytes`);
}
