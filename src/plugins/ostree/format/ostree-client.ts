import { provenStream } from '../../../download/proof.ts';
import type {
  Downloaded,
  DownloadTarget,
  ProvenBody,
  ProvenRequest,
  SmallRequest,
  SmallResponse,
  Upstream,
} from '../../../download/upstream.ts';
import { publicUrl, UpstreamError } from '../../../download/upstream-error.ts';
import type { ChecksumName } from '../../../lib/checksums.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { StreamCheck } from '../../../lib/verified-stream.ts';
import { siblingModule } from '../../../lib/worker-entry.ts';
import { type Checksum, checkBytes, parseChecksum } from './checksum.ts';
import { MAX_CONFIG_LENGTH } from './config.ts';
import { FormatError } from './format-error.ts';
import { MAX_METADATA_BYTES, type MetadataType, ObjectType, objectPath } from './object.ts';
import { check } from './object-proof.ts';
import { isRefName, MAX_REF_BYTES } from './ref-name.ts';
import { MAX_SUMMARY_BYTES } from './summary.ts';

/** Up to this size, compressed, a file object is held; a larger one flows into a file of its own. */
export const MAX_HELD_BYTES = 256 * 1024;
/** The module that proves objects, in the threads that fetch them. */
const PROOF = siblingModule(import.meta.url, 'object-proof');
/** How servers say that there is no such file: object stores that may not be listed answer 403. */
const ABSENT = [403, 404, 410];

/** Bytes that have been fetched and verified. */
export interface FetchedBytes {
  readonly bytes: Buffer;
  /** Of the bytes, whatever the object's own checksum is of. */
  readonly checksums: Downloaded['checksums'];
}

/** A file object: held where it is small, else written to the target. */
export type FetchedFile = FetchedBytes | (Downloaded & { readonly bytes: undefined });

/**
 * An archive repository on an upstream. What has a checksum is verified while it flows. All methods throw UpstreamError, whose
 * messages name the object, the URL and the reason, or the signal's reason.
 */
export interface OstreeClient {
  /** Where a file of the repository is, for a message: without credentials. */
  place(path: string): string;
  /** `config`, at most 1 MiB. */
  config(signal?: AbortSignal): Promise<Buffer>;
  /** `summary`; undefined where the repository has none. */
  summary(signal?: AbortSignal): Promise<Buffer | undefined>;
  /** `summary.sig`; undefined where the summary is not signed. */
  summarySignature(signal?: AbortSignal): Promise<Buffer | undefined>;
  /** The commit that `refs/heads/<name>` names; undefined where there is no such ref. */
  ref(name: string, signal?: AbortSignal): Promise<Checksum | undefined>;
  /** A commit; undefined where the repository does not have it (any longer). */
  commit(checksum: Checksum, signal?: AbortSignal): Promise<FetchedBytes | undefined>;
  /** A dirtree or dirmeta. */
  metadata(checksum: Checksum, type: 2 | 3, signal?: AbortSignal): Promise<FetchedBytes>;
  /** A file object: into the target, which is untouched otherwise, where it is too large to be held. */
  file(checksum: Checksum, target: () => Promise<DownloadTarget>, signal?: AbortSignal): Promise<FetchedFile>;
  /** Detached metadata of a commit: its signatures; undefined where it has none. Nothing proves it but what it holds. */
  commitMeta(checksum: Checksum, signal?: AbortSignal): Promise<Buffer | undefined>;
  /** A small file that nothing proves: a delta index; undefined where there is none. */
  small(path: string, signal?: AbortSignal): Promise<Buffer | undefined>;
  /** A small file that is known by the sha256 of its bytes: a superblock. */
  provenSmall(path: string, sha256: Checksum, signal?: AbortSignal): Promise<Buffer>;
  /** A file of any size that is known by sha256 and size: a part of a delta. */
  download(path: string, sha256: Checksum, size: number, target: DownloadTarget, signal?: AbortSignal): Promise<Downloaded>;
  /** Ends what is running and closes the upstream's connections. */
  close(): Promise<void>;
}

/** `checksums`: what to compute of each file. */
export const openOstree = (upstream: Upstream, checksums: readonly ChecksumName[]): OstreeClient =>
  new UpstreamRepository(upstream, checksums);

/** The URL of a file of the repository that a remote's URL names, with a slash at its end or without. */
export const fileUrl = (repository: URL, path: string): string =>
  `${repository.origin}${repository.pathname.replace(/\/+$/, '')}/${path.split('/').map(encodeURIComponent).join('/')}`;

/** Credentials as HTTP servers of files want them; undefined where the remote has none. */
export function basicAuthorization(upstream: Upstream): Readonly<Record<string, string>> | undefined {
  const { credentials } = upstream;
  if (!credentials) return undefined;
  return { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}` };
}

interface SmallFile {
  readonly path: string;
  readonly maxBytes: number;
  readonly optional?: boolean;
  readonly verify?: (bytes: Buffer) => void;
  readonly signal: AbortSignal | undefined;
}

class UpstreamRepository implements OstreeClient {
  readonly #upstream: Upstream;
  readonly #checksums: readonly ChecksumName[];
  readonly #headers: Readonly<Record<string, string>> | undefined;

  constructor(upstream: Upstream, checksums: readonly ChecksumName[]) {
    this.#upstream = upstream;
    this.#checksums = checksums;
    this.#headers = basicAuthorization(upstream);
  }

  place(path: string): string {
    return publicUrl(this.#url(path));
  }

  config(signal?: AbortSignal): Promise<Buffer> {
    return this.#required({ path: 'config', maxBytes: MAX_CONFIG_LENGTH, signal });
  }

  summary(signal?: AbortSignal): Promise<Buffer | undefined> {
    return this.#small({ path: 'summary', maxBytes: MAX_SUMMARY_BYTES, optional: true, signal });
  }

  summarySignature(signal?: AbortSignal): Promise<Buffer | undefined> {
    return this.small('summary.sig', signal);
  }

  async ref(name: string, signal?: AbortSignal): Promise<Checksum | undefined> {
    if (!isRefName(name)) throw new FormatError(`${JSON.stringify(name)} is not the name of a ref`);
    const path = `refs/heads/${name}`;
    const bytes = await this.#small({ path, maxBytes: MAX_REF_BYTES, optional: true, signal });
    if (!bytes) return undefined;
    const checksum = parseChecksum(bytes.toString('latin1').trimEnd());
    const url = this.place(path);
    if (checksum === undefined) throw new UpstreamError('protocol', url, `${url} does not hold the checksum of a commit`);
    return checksum;
  }

  async commit(checksum: Checksum, signal?: AbortSignal): Promise<FetchedBytes | undefined> {
    try {
      return await this.#metadata(checksum, ObjectType.commit, signal);
    } catch (error) {
      if (error instanceof UpstreamError && error.status !== undefined && ABSENT.includes(error.status)) return undefined;
      throw error;
    }
  }

  metadata(checksum: Checksum, type: 2 | 3, signal?: AbortSignal): Promise<FetchedBytes> {
    return this.#metadata(checksum, type, signal);
  }

  async file(checksum: Checksum, target: () => Promise<DownloadTarget>, signal?: AbortSignal): Promise<FetchedFile> {
    const file = await target();
    const { bytes, ...fetched } = await this.#object(objectPath(checksum, ObjectType.file), {
      maxHeld: MAX_HELD_BYTES,
      file,
      signal,
    });
    return bytes ? { ...fetched, bytes } : { ...fetched, bytes };
  }

  commitMeta(checksum: Checksum, signal?: AbortSignal): Promise<Buffer | undefined> {
    return this.small(objectPath(checksum, ObjectType.commitMeta), signal);
  }

  small(path: string, signal?: AbortSignal): Promise<Buffer | undefined> {
    return this.#small({ path, maxBytes: MAX_METADATA_BYTES, optional: true, signal });
  }

  provenSmall(path: string, sha256: Checksum, signal?: AbortSignal): Promise<Buffer> {
    return this.#required({ path, maxBytes: MAX_METADATA_BYTES, verify: (bytes) => checkBytes(bytes, sha256, path), signal });
  }

  download(path: string, sha256: Checksum, size: number, file: DownloadTarget, signal?: AbortSignal): Promise<Downloaded> {
    const digest = `sha256:${sha256}` as Digest;
    const headers = this.#headers;
    return this.#upstream.download({ url: this.#url(path), headers, digest, size, file, checksums: this.#checksums, signal });
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }

  async #required(file: SmallFile): Promise<Buffer> {
    const bytes = await this.#small(file);
    if (!bytes) throw new Error(`${file.path} is needed and was left out`);
    return bytes;
  }

  /** A file that fits into memory, verified; undefined where it is optional and absent. */
  async #small({ path, maxBytes, optional = false, verify, signal }: SmallFile): Promise<Buffer | undefined> {
    const check = ({ body }: SmallResponse): void => this.#blaming(path, () => verify?.(body));
    const request: SmallRequest = {
      method: 'GET',
      url: this.#url(path),
      headers: this.#headers,
      maxBytes,
      ...(optional ? { statuses: ABSENT } : {}),
      verify: check,
      signal,
    };
    const { status, body } = await this.#upstream.request(request);
    return ABSENT.includes(status) ? undefined : body;
  }

  async #metadata(checksum: Checksum, type: MetadataType, signal: AbortSignal | undefined): Promise<FetchedBytes> {
    const path = objectPath(checksum, type);
    const { bytes, ...fetched } = await this.#object(path, { maxHeld: MAX_METADATA_BYTES, signal });
    if (!bytes) throw new Error(`${path} was to be held and is not`);
    return { ...fetched, bytes };
  }

  #object(path: string, how: Pick<ProvenRequest, 'maxHeld' | 'file' | 'signal'>): Promise<ProvenBody> {
    const proof = { module: PROOF, expected: path };
    return this.#upstream.fetch({ ...how, url: this.#url(path), headers: this.#headers, proof, checksums: this.#checksums });
  }

  /** What is wrong with the bytes is the upstream's fault, and worth another try. */
  #blaming(path: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      throw blame(error, this.#url(path));
    }
  }

  #url(path: string): string {
    return fileUrl(this.#upstream.url, path);
  }
}

const blame = (error: unknown, url: string): unknown =>
  error instanceof FormatError
    ? new UpstreamError('checksum', publicUrl(url), `${error.message}, at ${publicUrl(url)}`, { cause: error })
    : error;

/** Checks a filez that passes by; what is wrong with it is the upstream's fault. */
export const filezCheck = (checksum: Checksum, url: string): StreamCheck<unknown> =>
  provenStream(url, check(objectPath(checksum, ObjectType.file)));
