import type { FlightReader } from './flight.ts';

/** A small body, whole and verified, in memory: read by any number of clients. */
export class HeldBody {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get size(): number {
    return this.bytes.byteLength;
  }

  /** The bytes from the beginning. */
  read(): FlightReader {
    let over = false;
    const leave = async (): Promise<IteratorReturnResult<undefined>> => {
      over = true;
      return { done: true, value: undefined };
    };
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (over || this.size === 0) return leave();
      over = true;
      return { done: false, value: this.bytes };
    };
    const reader: FlightReader = { next, return: leave, [Symbol.asyncIterator]: () => reader };
    return reader;
  }
}
