import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../../src/config.ts';
import { bootstrap } from '../../src/core/bootstrap.ts';
import { startWorker } from '../../src/core/tasks/worker.ts';
import { openDatabase } from '../../src/db/database.ts';
import { catalogOf } from '../../src/kit/catalog.ts';
import { plugins } from '../../src/plugins.ts';
import { startServer } from '../../src/server.ts';
import { openServices, type ProcessServices } from '../../src/services.ts';
import { eventually } from '../queue/eventually.ts';
import { faultLog } from './fault-log.ts';
import { freePort } from './free-port.ts';
import { createDatabase } from './postgres.ts';

const PASSWORD = 'password';
const FINAL = new Set(['completed', 'failed', 'canceled', 'skipped']);

/** An answer of the REST API, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
  readonly body: any;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** `name:password`, or null for nobody; default: the administrator. */
  readonly user?: string | null;
}

/** A whole Deckle: server and worker in this process, on real PostgreSQL and a data folder of their own. */
export interface TestApp {
  readonly url: string;
  readonly host: string;
  /** The server's services, for tests that look behind the door. */
  readonly services: ProcessServices;
  /** Lines of the log about faults that came since this was asked before. */
  readonly faults: () => readonly string[];
  request(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer>;
  /** The task at its end. */
  finished(task: Answer | string): Promise<Answer['body']>;
  /** POST that answers a task; the task at its end. */
  run(path: string, body?: unknown): Promise<Answer['body']>;
  stop(): Promise<void>;
}

/** What `work` answers; where it fails, `begun` is stopped: what nobody has a hold of would keep the test's process alive. */
export async function orStop<T>(begun: { stop(): Promise<void> }, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await begun.stop();
    throw error;
  }
}

/** Starts a Deckle for a test file. `env` are further settings; `worker: false` leaves tasks waiting. */
export async function startApp(
  options: { readonly env?: Readonly<Record<string, string>>; readonly worker?: boolean } = {},
): Promise<TestApp> {
  const database = await createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'deckle-app-'));
  const { log, faults } = faultLog(process.env.TEST_LOG_LEVEL);
  const port = await freePort();
  const begun: (() => Promise<unknown>)[] = [() => database.drop(), () => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const end of begun.splice(0).reverse()) await end();
  };
  const server = await orStop({ stop }, async () => {
    const config = readConfig({ DATABASE_URL: database.url, DATA_DIR: folder, PORT: String(port), ...options.env });
    const db = openDatabase(database.url, { max: 2, log });
    begun.push(() => db.close());
    await bootstrap(db, catalogOf(plugins), () => PASSWORD);
    await begun.pop()?.();
    const started = await startServer(config, log);
    begun.push(() => started.stop());
    if (options.worker === false) return started;
    const services = await openServices(config, log);
    begun.push(() => services.close());
    const worker = await startWorker(services);
    begun.push(() => worker.stop());
    return started;
  });
  const url = `http://127.0.0.1:${port}`;

  const request: TestApp['request'] = async (method, path, body, { headers = {}, user = `admin:${PASSWORD}` } = {}) => {
    const response = await fetch(path.startsWith('http') ? path : `${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(user === null ? {} : { authorization: `Basic ${Buffer.from(user).toString('base64')}` }),
        ...(body === undefined || typeof body === 'string' ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = response.headers.get('content-type')?.includes('json') && text !== '';
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
  };
  const finished: TestApp['finished'] = async (task) => {
    const href = typeof task === 'string' ? task : task.body.task;
    if (typeof href !== 'string') throw new Error(`no task in ${JSON.stringify((task as Answer).body)}`);
    return eventually(`the end of ${href}`, async () => {
      const { body } = await request('GET', href);
      return FINAL.has(body.state) ? body : undefined;
    });
  };
  return {
    url,
    host: `127.0.0.1:${port}`,
    services: server.services,
    faults,
    request,
    finished,
    run: async (path, body = {}) => finished(await request('POST', path, body)),
    stop,
  };
}
