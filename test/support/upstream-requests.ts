import type { IncomingHttpHeaders } from 'node:http';

/** What a request is after. */
export type RequestKind = 'ping' | 'tags' | 'manifest' | 'blob' | 'token' | 'signature' | 'referrers' | 'other';

/** Where a request path leads. */
export interface Target {
  readonly kind: RequestKind;
  /** Repository name; '' where there is none. */
  readonly repository: string;
  /** Tag or digest; for lookaside signatures `<repository>@sha256=<hex>/signature-<n>`; '' where there is none. */
  readonly reference: string;
}

/** One request as it arrived, and how it was answered. */
export interface LoggedRequest extends Target {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Milliseconds (performance.now) at arrival. */
  readonly at: number;
  /** 0 until the answer begins, and for good when the connection was dropped instead. */
  status: number;
}

/** Finds out what a path (without query) asks for. */
export function targetOf(path: string): Target {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping', repository: '', reference: '' };
  if (path === '/token') return { kind: 'token', repository: '', reference: '' };
  if (path.startsWith('/sigstore/')) return { kind: 'signature', repository: '', reference: decodeURIComponent(path.slice(10)) };
  if (path.startsWith('/extensions/v2/')) return split(path, '/extensions/v2/', '/signatures/', 'signature');
  if (path.startsWith('/v2/')) {
    if (path.endsWith('/tags/list')) return { kind: 'tags', repository: path.slice(4, -10), reference: '' };
    for (const [part, kind] of PARTS) {
      if (path.includes(part)) return split(path, '/v2/', part, kind);
    }
  }
  return { kind: 'other', repository: '', reference: '' };
}

const PARTS = [
  ['/manifests/', 'manifest'],
  ['/blobs/', 'blob'],
  ['/referrers/', 'referrers'],
] as const;

function split(path: string, prefix: string, part: string, kind: RequestKind): Target {
  const at = path.lastIndexOf(part);
  if (at < prefix.length) return { kind: 'other', repository: '', reference: '' };
  return { kind, repository: path.slice(prefix.length, at), reference: path.slice(at + part.length) };
}

/** Counts and keeps the requests of an upstream. */
export class RequestLog {
  readonly #counts = new Map<string, number>();
  readonly #keep: boolean;
  #log: LoggedRequest[] = [];
  #total = 0;

  /** With `keep` false requests are counted only, for runs with very many of them. */
  constructor(keep: boolean) {
    this.#keep = keep;
  }

  add(request: LoggedRequest): void {
    const key = `${request.method} ${request.kind}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    this.#total += 1;
    if (this.#keep) this.#log.push(request);
  }

  /** All requests. */
  get total(): number {
    return this.#total;
  }

  /** Requests in the order of arrival (empty when only counted). */
  get log(): readonly LoggedRequest[] {
    return this.#log;
  }

  /** Number of requests of a method and kind: `count('HEAD', 'manifest')`. */
  count(method: string, kind: RequestKind): number {
    return this.#counts.get(`${method} ${kind}`) ?? 0;
  }

  /** All counters by `<method> <kind>`, for example `GET manifest`. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort());
  }

  /** Requests of one method and kind, in order. */
  of(method: string, kind: RequestKind): readonly LoggedRequest[] {
    return this.#log.filter((request) => request.method === method && request.kind === kind);
  }

  /** Digests whose blob was asked for by GET more than once, with how often. */
  repeatedBlobs(): Record<string, number> {
    const seen = new Map<string, number>();
    for (const { reference } of this.of('GET', 'blob')) seen.set(reference, (seen.get(reference) ?? 0) + 1);
    return Object.fromEntries([...seen].filter(([, times]) => times > 1));
  }

  /** Forgets everything counted so far. */
  reset(): void {
    this.#counts.clear();
    this.#log = [];
    this.#total = 0;
  }
}
