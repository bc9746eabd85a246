import { STATUS_CODES } from 'node:http';
import type { Timeouts } from './remote-settings.ts';
import type { ResponseHeaders } from './upstream.ts';
import { publicUrl, UpstreamError } from './upstream-error.ts';

/** What an UpstreamError's text needs to know of the request that failed. */
export interface FailureContext {
  readonly url: string;
  readonly timeouts: Timeouts;
  /** tls_validation of the remote. */
  readonly validatesTls: boolean;
  /** The head of the answer had been received. */
  readonly answered: boolean;
}

interface SystemError extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly errors?: readonly SystemError[];
}

const TLS_CODE =
  /^(?:ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH)/;

const seconds = (ms: number): string => `${ms / 1000} s`;

/** `Connect call failed ('127.0.0.1', 34099)`, as Pulp's clients know it; several addresses make several. */
function refusedText(error: SystemError): string {
  const all = error.errors ?? [error];
  const text = all.map(({ address, port }) => `Connect call failed ('${address}', ${port})`);
  return text.length === 1 ? text.join('') : `Multiple exceptions: ${text.join(', ')}`;
}

const cannotConnect = (url: URL, validatesTls: boolean, reason: string): string =>
  `Cannot connect to host ${url.hostname.replace(/^\[|\]$/g, '')}:${url.port || (url.protocol === 'https:' ? 443 : 80)} ` +
  `ssl:${validatesTls ? 'default' : 'False'} [${reason}]`;

const TIMEOUT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT']);

/** A failure of the transport as an UpstreamError; an UpstreamError, and what is none of the transport's, as it is. */
export function upstreamErrorOf(error: unknown, context: FailureContext): unknown {
  if (!(error instanceof Error) || error instanceof UpstreamError) return error;
  const failure = error as SystemError;
  const code = failure.code ?? '';
  const url = new URL(context.url);
  const shown = publicUrl(url);
  const make = (kind: UpstreamError['kind'], message: string): UpstreamError =>
    new UpstreamError(kind, shown, message, { cause: error });
  const connect = (kind: UpstreamError['kind'], reason: string): UpstreamError =>
    make(kind, cannotConnect(url, context.validatesTls, reason));

  if (TIMEOUT_CODES.has(code)) return make('timeout', timeoutText(code, url, context));
  if (code === 'ECONNREFUSED') return connect('refused', refusedText(failure));
  if (code === 'ENOTFOUND' || code === 'EAI_NONAME' || code === 'EAI_NODATA') return connect('dns', 'Name or service not known');
  if (code === 'EAI_AGAIN') return connect('dns', 'Temporary failure in name resolution');
  if (TLS_CODE.test(code)) return connect('tls', `${failure.message} (${code})`);
  if (code === 'UND_ERR_HEADERS_OVERFLOW' || code === 'HPE_HEADER_OVERFLOW') {
    return make('too-large', `The headers of ${shown} are over 64 KiB`);
  }
  if (code.startsWith('HPE_')) return make('protocol', `The answer of ${shown} is not HTTP/1.1: ${failure.message}`);
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || (context.answered && isBroken(code))) {
    return make('truncated', `The answer of ${shown} was cut off before its end`);
  }
  if (isBroken(code)) return make('connection', `The upstream closed the connection without an answer to ${shown}`);
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'EADDRNOTAVAIL')
    return connect('connection', failure.message);
  if (/^Proxy .*\b407\b/.test(failure.message)) {
    return make('protocol', `The proxy refuses the way to ${url.host} (407): its user name or password is missing or wrong`);
  }
  if (code.startsWith('UND_ERR_')) return make('connection', `The request of ${shown} failed: ${failure.message}`);
  return error;
}

const isBroken = (code: string): boolean => code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';

function timeoutText(code: string, url: URL, { answered, timeouts }: FailureContext): string {
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return `No connection to ${url.host} within ${seconds(timeouts.connect)}`;
  }
  if (!answered) return `No answer from ${publicUrl(url)} within ${seconds(timeouts.read)}`;
  return `The answer of ${publicUrl(url)} stopped: not a byte for ${seconds(timeouts.read)}`;
}

export const totalTimeoutError = (url: string, timeouts: Timeouts): UpstreamError =>
  new UpstreamError(
    'timeout',
    publicUrl(url),
    `${publicUrl(url)} took longer than the total timeout of ${seconds(timeouts.total)}`,
  );

/** A status that is no success, in Pulp's words: `404, message='Not Found', url='http://h/v2/NAME/tags/list'`. */
export function statusError(status: number, reason: string, headers: ResponseHeaders, url: string): UpstreamError {
  const shown = publicUrl(url);
  const message = `${status}, message='${reason || (STATUS_CODES[status] ?? '')}', url='${shown}'`;
  const facts = { status, challenge: headers['www-authenticate'], retryAfter: headers['retry-after'] };
  return new UpstreamError('status', shown, message, facts);
}
