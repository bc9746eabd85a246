/** A file to place: its body is the next `length` bytes of the batch, or it is there already, written whole to `temporary`. */
export type BatchFile =
  | { readonly target: string; readonly length: number }
  | { readonly target: string; readonly temporary: string };

/** What the writer's thread is sent: every body in one buffer, which is handed over, not copied. */
export interface Batch {
  readonly files: readonly BatchFile[];
  readonly bytes: ArrayBuffer;
}

/** What the thread is told. `settle`: make all files durable in their places; `settled` is the answer. */
export type ToWriter = Batch | 'settle';
export type FromWriter = BatchAnswer | 'settled' | Unsettled;

/** A journal whose files could not be made durable in their places: it stays for the next start. */
export interface Unsettled {
  readonly journal: string;
  readonly reason: string;
}

/** What it answers when all files of the batch are durable, but for these. `index` is into `files`. */
export type BatchAnswer = readonly { readonly index: number; readonly message: string; readonly code: string | undefined }[];

/** Absolute paths: the storage, and the folders of this process for unfinished files and for journals, on the same file system. */
export interface WriterFolders {
  readonly root: string;
  readonly temporary: string;
  readonly journals: string;
}
