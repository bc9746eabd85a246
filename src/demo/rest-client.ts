import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';

const progressReport = z.object({
  message: z.string(),
  code: z.string(),
  state: z.string(),
  total: z.number().nullable(),
  done: z.number(),
});

const task = z.object({
  pulp_href: z.string(),
  pulp_created: z.string(),
  state: z.string(),
  finished_at: z.string().nullable(),
  error: z.object({ description: z.string().optional(), reason: z.string().optional() }).nullable(),
  progress_reports: z.array(progressReport),
  created_resources: z.array(z.string().nullable()),
});

const FINAL_STATES = new Set(['completed', 'failed', 'canceled', 'skipped']);

/** A task as the REST API shows it. */
export type Task = z.output<typeof task>;
export type ProgressReport = z.output<typeof progressReport>;

/** Who a client is: Basic credentials for each request, or a session cookie. */
export type Credentials = { username: string; password: string } | { cookie: string; csrfToken: string };

/** A request that was not answered with a 2xx status. */
export class RestError extends Error {
  override readonly name = 'RestError';
}

/** A small client of the REST API of one server. */
export class RestClient {
  readonly #origin: string;
  readonly #headers: Record<string, string>;

  /** `origin`: for example `http://127.0.0.1:24817`. */
  constructor(origin: string, credentials: Credentials) {
    this.#origin = origin;
    this.#headers =
      'cookie' in credentials
        ? { cookie: credentials.cookie, 'x-csrftoken': credentials.csrfToken, referer: `${origin}/` }
        : { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}` };
  }

  /** GET; `shape` checks the answer. Throws RestError for any other status than 2xx. */
  async get<T>(path: string, shape: z.ZodType<T>): Promise<T> {
    return shape.parse(await this.#request('GET', path));
  }

  /** POST of a JSON body; `shape` checks the answer. Throws RestError for any other status than 2xx. */
  async post<T>(path: string, body: object, shape: z.ZodType<T>): Promise<T> {
    return shape.parse(await this.#request('POST', path, body));
  }

  /** DELETE; answers the href of the task that does it, or null when it is done at once. */
  async delete(path: string): Promise<string | null> {
    const answer = await this.#request('DELETE', path);
    return answer === null ? null : z.object({ task: z.string() }).parse(answer).task;
  }

  /** POST that answers 202 with a task; answers its href. */
  async dispatch(path: string, body: object): Promise<string> {
    return (await this.post(path, body, z.object({ task: z.string() }))).task;
  }

  /**
   * Waits until a task is over, asking every `interval` milliseconds; `onProgress` sees each state in between.
   * Throws RestError with the task's own reason unless it completed.
   */
  async finished(href: string, interval: number, onProgress: (task: Task) => void = () => undefined): Promise<Task> {
    for (;;) {
      const current = await this.get(href, task);
      onProgress(current);
      if (current.state === 'completed') return current;
      if (FINAL_STATES.has(current.state)) {
        const reason = current.error?.description ?? current.error?.reason ?? 'no reason given';
        throw new RestError(`Task ${href} ${current.state}: ${reason}`);
      }
      await delay(interval);
    }
  }

  async #request(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(new URL(path, this.#origin), {
      method,
      headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new RestError(`${method} ${path} was answered with ${response.status}: ${text.slice(0, 500)}`);
    return text === '' ? null : JSON.parse(text);
  }
}
