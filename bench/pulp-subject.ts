import { randomBytes } from 'node:crypto';
import type { Credentials } from '../src/demo/rest-client.ts';
import { type ProcessGroup, processesLike } from './process-usage.ts';
import { CONTAINER, type MirrorKind, PulpApiMirror } from './pulp-api-subject.ts';
import type { Mirrored, Subject } from './subject.ts';

/** How to reach a Pulp that runs on this machine. */
export interface PulpOptions {
  origin: string;
  username: string;
  password: string;
  /** Command lines of its processes (and of its PostgreSQL), for CPU and memory. */
  processes: RegExp;
}

/** A Pulp that runs already. It keeps what it has: each round brings content that it has never seen. */
export class PulpSubject implements Subject {
  readonly name = 'pulp';
  readonly #options: PulpOptions;
  readonly #upstreamUrl: string;
  readonly #kind: MirrorKind;
  readonly #prefix = `bench-${randomBytes(4).toString('hex')}`;
  #mirror: PulpApiMirror | null = null;

  constructor(options: PulpOptions, upstreamUrl: string, kind = CONTAINER) {
    this.#kind = kind;
    this.#options = options;
    this.#upstreamUrl = upstreamUrl;
  }

  get group(): ProcessGroup {
    return { pids: () => processesLike(this.#options.processes), role };
  }

  get api(): PulpApiMirror {
    if (this.#mirror === null) throw new Error('Pulp has not been opened');
    return this.#mirror;
  }

  versions(): Promise<Record<string, string>> {
    return this.api.versions();
  }

  async open(): Promise<void> {
    this.#mirror = new PulpApiMirror({
      origin: this.#options.origin,
      upstreamUrl: this.#upstreamUrl,
      credentials: await pulpSession(this.#options),
      group: this.group,
      // Asking is dear there: ten requests a second would be a quarter of what its API can do.
      pollMs: 250,
      kind: this.#kind,
    });
  }

  mirror(upstreamRepository: string, name: string): Promise<Mirrored> {
    return this.api.mirror(upstreamRepository, `${this.#prefix}-${name}`);
  }

  async close(): Promise<void> {
    await this.#mirror?.removeAll();
    this.#mirror = null;
  }
}

/** Logs in and answers the session's cookie, so that polling does not pay for a password hash each time. */
export async function pulpSession(options: PulpOptions): Promise<Credentials> {
  const basic = Buffer.from(`${options.username}:${options.password}`).toString('base64');
  const url = `${options.origin}/pulp/api/v3/login/`;
  const response = await fetch(url, { method: 'POST', headers: { authorization: `Basic ${basic}` } });
  if (!response.ok) throw new Error(`Pulp at ${options.origin} answered the login with ${response.status}`);
  await response.arrayBuffer();
  const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(';')[0] ?? '');
  const csrfToken = cookies.find((cookie) => cookie.startsWith('csrftoken='))?.slice('csrftoken='.length);
  if (csrfToken === undefined) throw new Error(`Pulp at ${options.origin} gave no session`);
  return { cookie: cookies.join('; '), csrfToken };
}

function role(commandLine: string): string {
  if (/postgres/.test(commandLine)) return 'database';
  return /pulpcore-(\w+)/.exec(commandLine)?.[1] ?? 'other';
}
