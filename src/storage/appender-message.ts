import type { ChecksumName, Checksums } from '../lib/checksums.ts';

/** Bytes that are handed over at once; also the size of a slot of the shared memory. */
export const SLOT_BYTES = 128 * 1024;
/** Slots of a thread: so many parts of files may be on their way to it. */
export const SLOTS = 8;

/** What an appending thread is told of the file `id`; its bytes come in the slots of `workerData`, a SharedArrayBuffer. */
export type ToAppender =
  | { readonly id: number; readonly open: string; readonly checksums: readonly ChecksumName[] }
  | { readonly id: number; readonly slot: number; readonly length: number }
  | { readonly id: number; readonly end: true };

/** What it answers: a slot is free again; the file is closed, with its checksums or with what went wrong. */
export type FromAppender =
  | { readonly slot: number }
  | { readonly id: number; readonly checksums: Checksums }
  | { readonly id: number; readonly message: string; readonly code: string | undefined };
