import { setTimeout as delay } from 'node:timers/promises';
import { startApp } from '../support/app.ts';

/*
 * The acceptance tests know a server by its URL alone: BASE_URL names one that runs (user admin, password `password`), ours or
 * the reference; without it a Deckle is started.
 */

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape
export type Body = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface Server {
  readonly url: string;
  request(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Follows an answer's task to its end. */
  finished(answer: Answer): Promise<Body>;
  /** Hrefs of what the tests have made on a server that may live on, in the order in which they have. */
  readonly made: string[];
  /** Removes what was made, the last first, and stops a server of our own. */
  stop(): Promise<void>;
}

const TASK_MS = 120_000;
const FINAL = ['completed', 'failed', 'canceled', 'skipped'];

/** A name that no other run has used: the reference server keeps what tests make. */
export const unique = (word: string): string => `${word}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 7)}`;

/** The server under test. */
export async function openServer(): Promise<Server> {
  const given = process.env.BASE_URL?.replace(/\/+$/, '');
  const { url, stop } = given ? { url: given, stop: async () => undefined } : await startApp();
  const request: Server['request'] = async (method, path, body, headers = {}) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        authorization: `Basic ${Buffer.from('admin:password').toString('base64')}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: text }),
    });
    const answer = await response.text();
    const json = response.headers.get('content-type')?.includes('json') && answer !== '';
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(answer) : answer };
  };
  const finished: Server['finished'] = async (answer) => {
    for (const end = Date.now() + TASK_MS; ; await delay(50)) {
      const { body } = await request('GET', answer.body.task);
      if (FINAL.includes(body.state)) return body;
      if (Date.now() > end) throw new Error(`the task did not end: ${JSON.stringify(body)}`);
    }
  };
  const made: string[] = [];
  const removeMade = async (): Promise<void> => {
    for (const href of made.reverse()) {
      const answer = await request('DELETE', href);
      // 404 where a test, or the removal of another one, has taken it away.
      if (answer.status === 202) await finished(answer);
    }
  };
  return { url, request, finished, made, stop: () => removeMade().finally(stop) };
}

/** Uploads a text, or bytes, as an artifact, with further fields. */
export async function upload(
  { url }: Server,
  content: string | Buffer,
  fields: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: Body }> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append('file', new Blob([typeof content === 'string' ? content : new Uint8Array(content)]), 'file');
  const response = await fetch(`${url}/pulp/api/v3/artifacts/`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
    body: form,
  });
  return { status: response.status, body: await response.json() };
}
