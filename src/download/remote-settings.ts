import { z } from 'zod';

const headerList = z.array(z.record(z.string(), z.string()));

/** How to reach an upstream: the columns of a `remote` row that say so, its secrets already decrypted. */
export interface RemoteSettings {
  readonly url: string;
  readonly ca_cert: string | null;
  readonly client_cert: string | null;
  readonly client_key: string | null;
  readonly tls_validation: boolean;
  readonly proxy_url: string | null;
  readonly proxy_username: string | null;
  readonly proxy_password: string | null;
  readonly username: string | null;
  readonly password: string | null;
  readonly download_concurrency: number | null;
  readonly max_retries: number | null;
  /** Seconds, as the other timeouts; null takes the default, 0 sets no limit. */
  readonly total_timeout: number | null;
  readonly connect_timeout: number | null;
  readonly sock_connect_timeout: number | null;
  readonly sock_read_timeout: number | null;
  /** The JSON column: a list of objects of header names and values, or null. */
  readonly headers: unknown;
  /** Requests a second; null, 0 and less set no limit. */
  readonly rate_limit: number | null;
}

/** Connections to an upstream where the remote sets none. Pulp takes 10; 20 is where loopback and a 20 ms line both stop gaining much. */
const DEFAULT_CONCURRENCY = 20;
const DEFAULT_RETRIES = 3;
const CONNECT_SECONDS = 10;
const READ_SECONDS = 60;

/** Milliseconds; 0 sets no limit. */
export interface Timeouts {
  /** TCP, and TLS where there is one. */
  readonly connect: number;
  /** Until the head of the response, and between two reads of its body. */
  readonly read: number;
  /** One try, from request to the last byte of the body. */
  readonly total: number;
}

/** Connections and downloads at once. */
export const concurrencyOf = (settings: RemoteSettings): number => settings.download_concurrency ?? DEFAULT_CONCURRENCY;

/** Tries in all: the first and `max_retries` more. */
export const triesOf = (settings: RemoteSettings): number => 1 + (settings.max_retries ?? DEFAULT_RETRIES);

/** The timeouts with the defaults filled in. The connect timeout is the smaller of the two that the remote may set. */
export function timeoutsOf(settings: RemoteSettings): Timeouts {
  const connect = [settings.connect_timeout, settings.sock_connect_timeout].filter((seconds) => seconds !== null);
  const limited = connect.filter((seconds) => seconds > 0);
  const connectSeconds = connect.length === 0 ? CONNECT_SECONDS : limited.length === 0 ? 0 : Math.min(...limited);
  return {
    connect: connectSeconds * 1000,
    read: (settings.sock_read_timeout ?? READ_SECONDS) * 1000,
    total: (settings.total_timeout ?? 0) * 1000,
  };
}

/** The remote's own `headers`, as one record with lower-case names. Throws ZodError where the column holds something else. */
export function ownHeadersOf(settings: RemoteSettings): Record<string, string> {
  const merged: Record<string, string> = {};
  for (const object of headerList.parse(settings.headers ?? [])) {
    for (const [name, value] of Object.entries(object)) merged[name.toLowerCase()] = value;
  }
  return merged;
}
