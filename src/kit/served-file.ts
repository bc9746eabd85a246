import type { UpstreamStream } from '../download/upstream.ts';
import type { ChecksumName } from '../lib/checksums.ts';

/** A version that can be read: what content is looked up in. It never changes. */
export interface ServedVersion {
  readonly repository_id: string;
  readonly number: number;
}

/** Begins to fetch from a remote: resolves with the head, the body is verified while it flows. */
export type FetchFrom = (remoteId: string, signal: AbortSignal) => Promise<UpstreamStream>;

/** Bytes as an answer describes them. */
export interface DescribedBytes {
  readonly size: number;
  /** Strong: stands for exactly these bytes. Without its quotes. */
  readonly etag: string;
  /** When they came to be, as an HTTP date; undefined where the etag alone is told. */
  readonly modified?: string | undefined;
}

/** Bytes in the storage. */
export interface StoredBytes extends DescribedBytes {
  /** Key in the storage. */
  readonly key: string;
}

/** What an answer about a file says beside what follows from its bytes. */
export interface FileHeaders {
  readonly contentType: string;
  /** On every answer about the file, those without bytes included. */
  readonly others: Readonly<Record<string, string>>;
}

/** A file as a remote can be asked for it. */
export interface WantedFile {
  /** For messages and for whoever saves it: a digest, or the last part of its path. */
  readonly name: string;
  /** Bytes; null where nobody has said. */
  readonly size: number | null;
  /** Checksums that are right once the fetched body has ended well: they need no computing. */
  readonly proven: Readonly<Partial<Record<ChecksumName, string>>>;
  readonly fetchFrom: FetchFrom;
}

/** Content whose bytes are stored, or can be had from a remote. */
export interface ContentFile extends WantedFile {
  readonly content_id: string;
  /** The repository it is served from: its own remote is asked first. */
  readonly repository_id: string;
  /** Undefined while the bytes are only known. */
  readonly stored: StoredBytes | undefined;
  readonly headers: FileHeaders;
}
