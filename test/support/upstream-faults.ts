import { gzipSync } from 'node:zlib';
import type { BlobContent } from '../../src/demo/layer.ts';
import type { LoggedRequest, RequestKind } from './upstream-requests.ts';

/** How an answer travels. */
export interface Delivery {
  /** Milliseconds before the status line. */
  headersAfter?: number;
  /** Holds the answer until this is settled: before its status line, or after so many bytes of its body. */
  held?: { until: Promise<unknown>; after?: number };
  /** Bytes a second. */
  bytesPerSecond?: number;
  /** Bytes of the body after which the connection is destroyed. */
  cutAfter?: number;
  /** Bytes of the body after which nothing more comes, with the connection left open. */
  idleAfter?: number;
  /** Replaces the first byte of the body by another one, so that its digest is wrong. */
  corrupt?: boolean;
  /** Bytes missing at the end of the body (negative) or added to it, with a Content-Length that says so. */
  lengthOff?: number;
  /** Answers a Range request with the whole body. */
  ignoreRange?: boolean;
}

/** The bytes of an answer. */
export type Body = Pick<BlobContent, 'bytes' | 'size' | 'copy'>;

/** An answer before it is sent. */
export interface Reply {
  status: number;
  headers: Record<string, string | string[]>;
  body: Body;
  /** Send without Content-Length. */
  chunked?: boolean;
  /** Holds an answer that stands in the place of the true one until this is settled. */
  until?: Promise<unknown>;
}

/**
 * What goes wrong. `answer`, `redirect` and the other replacements stand in the place of the true answer;
 * `deliver` sends the true answer in a bad way and only counts where there is one (a challenge is not touched).
 */
export type Fault =
  | { deliver: Delivery }
  | { answer: { status: number; headers?: Record<string, string>; body?: string | Buffer } }
  /** Absolute URL to redirect to, made from the request; 307 unless another status is given. */
  | { redirect: (request: LoggedRequest) => string; status?: number }
  | { replace: (request: LoggedRequest) => Reply }
  /** Drops the connection without a word. */
  | { drop: true };

/** To which requests a fault applies: all that are named must agree. */
export interface FaultRule {
  repository?: string;
  kind?: RequestKind | readonly RequestKind[];
  method?: string;
  /** Tag or digest. */
  reference?: string;
  when?: (request: LoggedRequest) => boolean;
  /** How many times; without end if left out. */
  times?: number;
  fault: Fault;
}

/** A fault that was switched on. */
export interface ActiveFault {
  /** How many requests it has met. */
  readonly hits: number;
  /** Switches it off. */
  clear(): void;
}

/** The faults of an upstream, the one added last first. */
export class FaultBook {
  readonly #active: { rule: FaultRule; hits: number }[] = [];

  add(rule: FaultRule): ActiveFault {
    const entry = { rule, hits: 0 };
    this.#active.unshift(entry);
    return {
      get hits() {
        return entry.hits;
      },
      clear: () => {
        const at = this.#active.indexOf(entry);
        if (at >= 0) this.#active.splice(at, 1);
      },
    };
  }

  clear(): void {
    this.#active.length = 0;
  }

  /** The fault that replaces the answer to this request, counted as met. */
  replacement(request: LoggedRequest): Exclude<Fault, { deliver: Delivery }> | null {
    const fault = this.#meet(request, (candidate) => !('deliver' in candidate));
    return fault === null || 'deliver' in fault ? null : fault;
  }

  /** How the true answer to this request is to be delivered, counted as met. */
  delivery(request: LoggedRequest): Delivery {
    const fault = this.#meet(request, (candidate) => 'deliver' in candidate);
    return fault !== null && 'deliver' in fault ? fault.deliver : {};
  }

  #meet(request: LoggedRequest, fits: (fault: Fault) => boolean): Fault | null {
    for (const entry of this.#active) {
      const { rule } = entry;
      if (!fits(rule.fault) || (rule.times !== undefined && entry.hits >= rule.times) || !applies(rule, request)) continue;
      entry.hits += 1;
      return rule.fault;
    }
    return null;
  }
}

function applies(rule: FaultRule, request: LoggedRequest): boolean {
  const { kind } = rule;
  return (
    (rule.repository === undefined || rule.repository === request.repository) &&
    (kind === undefined || (typeof kind === 'string' ? kind === request.kind : kind.includes(request.kind))) &&
    (rule.method === undefined || rule.method === request.method) &&
    (rule.reference === undefined || rule.reference === request.reference) &&
    (rule.when === undefined || rule.when(request))
  );
}

const JSON_TYPE = { 'content-type': 'application/json' };

/** Ready-made faults. Combine with a rule: `upstream.fault({ kind: 'tags', fault: FAULTS.html })`. */
export const FAULTS = {
  /** A plain status with a short text, and no challenge with a 401. */
  status: (status: number, headers: Record<string, string> = {}): Fault => ({
    answer: { status, headers: { 'content-type': 'text/plain', ...headers }, body: `status ${status}\n` },
  }),
  /** 429 with Retry-After in seconds, as a date, or as whatever text is given. */
  tooMany: (retryAfter: number | Date | string): Fault =>
    FAULTS.status(429, { 'retry-after': retryAfter instanceof Date ? retryAfter.toUTCString() : String(retryAfter) }),
  /** A login page where JSON belongs. */
  html: {
    answer: { status: 200, headers: { 'content-type': 'text/html' }, body: '<!DOCTYPE html><title>Please log in</title>' },
  },
  garbage: { answer: { status: 200, headers: JSON_TYPE, body: '{"name": "x", "tags": ["a", ' } },
  nullTags: { answer: { status: 200, headers: JSON_TYPE, body: '{"name":"x","tags":null}' } },
  /** `tags` nested 100,000 arrays deep. */
  deepJson: {
    answer: { status: 200, headers: JSON_TYPE, body: `{"name":"x","tags":${'['.repeat(100_000)}${']'.repeat(100_000)}}` },
  },
  /** Some 4,000 headers of 1 KiB. */
  headerBomb: {
    replace: () => ({
      status: 200,
      headers: { ...JSON_TYPE, 'x-bomb': Array.from({ length: 4_000 }, () => 'b'.repeat(1_024)) },
      body: bodyOf('{}'),
    }),
  },
  /** A tag list of 1 GiB in about 1 MB of gzip. */
  gzipBomb: { replace: () => gzipBomb() },
  /** Tag pages without end, each new; with `same` every page links to itself. */
  endlessPages: (same = false): Fault => ({ replace: (request) => endlessPage(request, same) }),
  /** A tag page whose next page is at the given URL. */
  linkTo: (url: string): Fault => ({
    answer: { status: 200, headers: { ...JSON_TYPE, link: `<${url}>; rel="next"` }, body: '{"name":"x","tags":["only"]}' },
  }),
  /** The same path on another origin. */
  redirectTo: (origin: string, status = 307): Fault => ({ redirect: (request) => `${origin}${request.url}`, status }),
  /** Redirects to itself for ever. */
  redirectLoop: { redirect: (request: LoggedRequest) => `http://${request.headers.host}${request.url}` },
  /** A manifest of `size` bytes, by default 100 MB; `chunked` hides its length. */
  hugeManifest: (size = 100_000_000, chunked = false): Fault => ({ replace: () => hugeManifest(size, chunked) }),
  drop: { drop: true },
  slowHeaders: (ms: number): Fault => ({ deliver: { headersAfter: ms } }),
  slowBody: (bytesPerSecond: number): Fault => ({ deliver: { bytesPerSecond } }),
  idleBody: (after = 10): Fault => ({ deliver: { idleAfter: after } }),
  /** Comes when `until` is settled: not even a status line before, or so many bytes of the body. */
  held: (until: Promise<unknown>, after?: number): Fault => ({
    deliver: { held: { until, ...(after === undefined ? {} : { after }) } },
  }),
  /** Too many requests, said when `until` is settled. */
  throttled: (until: Promise<unknown>, retryAfter: string): Fault => ({
    replace: () => ({ status: 429, headers: { 'retry-after': retryAfter }, body: bodyOf(''), until }),
  }),
  /** Cut off after so many bytes of the body. With `ignoreRange` a resume by Range gets the whole body. */
  cutOff: (after: number, ignoreRange = false): Fault => ({ deliver: { cutAfter: after, ignoreRange } }),
  wrongDigest: { deliver: { corrupt: true } },
  /** A well-formed answer with so many bytes too many, or too few if negative. */
  wrongLength: (off: number): Fault => ({ deliver: { lengthOff: off } }),
} as const satisfies Record<string, Fault | ((...args: never[]) => Fault)>;

/** A body of bytes in memory. */
export function bodyOf(content: Buffer | string): Body {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return { bytes, size: bytes.length, copy: (offset, target) => bytes.copy(target, 0, offset) };
}

let bomb: Buffer | null = null;

function gzipBomb(): Reply {
  if (bomb === null) {
    const mebibyte = gzipSync(Buffer.alloc(2 ** 20, ' '), { level: 9 });
    bomb = Buffer.concat([gzipSync('{"name":"x","tags":['), ...Array.from({ length: 1_024 }, () => mebibyte), gzipSync('"a"]}')]);
  }
  return { status: 200, headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: bodyOf(bomb) };
}

function endlessPage(request: LoggedRequest, same: boolean): Reply {
  const page = Number(new URL(request.url, 'http://upstream').searchParams.get('page') ?? '0');
  const path = request.url.split('?')[0];
  const headers = { ...JSON_TYPE, link: `<${path}?page=${same ? page : page + 1}>; rel="next"` };
  return { status: 200, headers, body: bodyOf(JSON.stringify({ name: request.repository, tags: [`page-${page}`] })) };
}

function hugeManifest(size: number, chunked: boolean): Reply {
  const start = Buffer.from('{"schemaVersion":2,"annotations":{"filler":"');
  const end = Buffer.from('"}}');
  const body: Body = {
    size,
    bytes: null,
    copy: (offset, target) => {
      const length = Math.max(0, Math.min(target.length, size - offset));
      target.fill('f', 0, length);
      if (offset < start.length) start.copy(target, 0, offset);
      const endAt = size - end.length - offset;
      if (endAt < length) end.copy(target, Math.max(0, endAt), Math.max(0, -endAt));
      return length;
    },
  };
  const headers = {
    'content-type': 'application/vnd.oci.image.manifest.v1+json',
    'docker-content-digest': `sha256:${'0'.repeat(64)}`,
  };
  return { status: 200, headers, body, chunked };
}
