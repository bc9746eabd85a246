import { join } from 'node:path';
import { z } from 'zod';
import { RestClient } from '../src/demo/rest-client.ts';
import { startNginx } from '../test/support/nginx.ts';
import { freePort } from './child-server.ts';
import { DECKLE_CREDENTIALS, type DeckleSubject } from './deckle-subject.ts';
import { type ProcessGroup, processTree } from './process-usage.ts';
import { type PulpOptions, type PulpSubject, pulpSession } from './pulp-subject.ts';

/** A registry that is measured. */
export interface RegistryTarget {
  readonly name: string;
  readonly origin: string;
  /** The processes that its CPU and memory are counted of. */
  readonly group: ProcessGroup;
  /** What to send to be allowed that: `pull` or `pull,push`; nothing where everybody is. */
  headers(repository: string, actions: string): Promise<Readonly<Record<string, string>>>;
  /** Path of a request for a token to pull with, without credentials; undefined where it is no token server. */
  tokenPath(repository: string): Promise<string | undefined>;
  /** Whether images can be pushed to it; else `place` puts files where they are served from. */
  readonly place?: (path: string, bytes: Iterable<Uint8Array>) => void;
  /** Much slower than the others: it gets fewer of them. */
  readonly slow?: boolean;
  versions(): Promise<Readonly<Record<string, string>>>;
  /** Stops it; one that lives on is left without the repositories below `namespace`. */
  close(namespace: string): Promise<void>;
}

const issued = z.object({ token: z.string() });

/** The token server that a registry names in its challenge. */
export class TokenServer {
  readonly #origin: string;
  readonly #authorization: string;

  constructor(origin: string, { username, password }: { readonly username: string; readonly password: string }) {
    this.#origin = origin;
    this.#authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }

  async path(repository: string, actions = 'pull'): Promise<string> {
    const response = await fetch(`${this.#origin}/v2/`);
    await response.arrayBuffer();
    const [, realm, service] = /realm="([^"]+)",\s*service="([^"]+)"/.exec(response.headers.get('www-authenticate') ?? '') ?? [];
    if (realm === undefined || service === undefined) throw new Error(`${this.#origin} names no token server`);
    const query = new URLSearchParams({ service, scope: `repository:${repository}:${actions}` });
    return `${new URL(realm).pathname}?${query}`;
  }

  async headers(repository: string, actions: string): Promise<Record<string, string>> {
    const headers = { authorization: this.#authorization };
    const response = await fetch(this.#origin + (await this.path(repository, actions)), { headers });
    const { token } = issued.parse(await response.json());
    return { authorization: `Bearer ${token}` };
  }
}

/** Deckle, as `npm start` runs it; `env` are further settings. */
export async function deckleTarget(subject: DeckleSubject, env: Readonly<Record<string, string>> = {}): Promise<RegistryTarget> {
  await subject.open('registry', env);
  const tokens = new TokenServer(subject.origin, DECKLE_CREDENTIALS);
  return {
    name: subject.name,
    origin: subject.origin,
    group: subject.group,
    headers: (repository, actions) => tokens.headers(repository, actions),
    tokenPath: (repository) => tokens.path(repository),
    versions: () => subject.versions(),
    close: () => subject.close(),
  };
}

/** Deckle behind the proxy of docker-compose.yml, which sends the files (`X-Accel-Redirect`). */
export async function deckleBehindNginx(subject: DeckleSubject, workFolder: string): Promise<RegistryTarget> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const data = join(workFolder, subject.name, 'data');
  const deckle = await deckleTarget(subject, {
    DATA_DIR: data,
    DECKLE_X_ACCEL_REDIRECT: '/deckle-media/',
    DECKLE_TRUSTED_PROXIES: '127.0.0.1',
    PULP_CONTENT_ORIGIN: origin,
  });
  const serverPort = Number(new URL(deckle.origin).port);
  const nginx = await startNginx(port, serverPort, join(data, 'media'), 'auto').catch(async (error: unknown) => {
    await subject.close();
    throw error;
  });
  const { group } = deckle;
  const tokens = new TokenServer(origin, DECKLE_CREDENTIALS);
  return {
    ...deckle,
    origin,
    group: {
      pids: () => [...group.pids(), ...processTree(nginx.pid)],
      role: (commandLine) => (commandLine.startsWith('nginx') ? 'nginx' : group.role(commandLine)),
    },
    headers: (repository, actions) => tokens.headers(repository, actions),
    tokenPath: (repository) => tokens.path(repository),
    close: async (namespace) => {
      await nginx.stop();
      await deckle.close(namespace);
    },
  };
}

const page = z.object({ results: z.array(z.object({ pulp_href: z.string() })) });

/** A Pulp that runs already. */
export async function pulpTarget(options: PulpOptions, subject: PulpSubject): Promise<RegistryTarget> {
  await subject.open();
  const tokens = new TokenServer(options.origin, options);
  return {
    name: subject.name,
    origin: options.origin,
    group: subject.group,
    slow: true,
    headers: (repository, actions) => tokens.headers(repository, actions),
    tokenPath: (repository) => tokens.path(repository),
    versions: () => subject.versions(),
    close: async (namespace) => {
      const client = new RestClient(options.origin, await pulpSession(options));
      const { results } = await client.get(
        `/pulp/api/v3/distributions/container/container/?base_path__icontains=${namespace}/&limit=100`,
        page,
      );
      // Not waited for: nothing that is measured comes after it.
      for (const { pulp_href } of results) await client.delete(pulp_href);
      await subject.close();
    },
  };
}
