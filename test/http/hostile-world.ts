import { API, type Operation, openWorld, PASSWORD } from '../core/access/world.ts';
import type { TestApp } from '../support/app.ts';
import { isErrorBody, type Schema } from './hostile-values.ts';

/** No answer may take longer: somebody waits for it. */
const PATIENCE_MS = 20_000;
const AT_ONCE = 8;
/** The administrator who asks has to stay one. */
const VICTIM = 'victim';

interface Described {
  readonly parameters: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

export interface Target {
  readonly id: string;
  readonly method: string;
  /** Of something that is there, where the operation is for one. */
  readonly path: string;
  /** Makes something new. */
  readonly makes: boolean;
  readonly queryParameters: readonly string[];
  /** Of its body. */
  readonly component?: string;
  readonly schema?: Schema;
  /** A body that is good: the values of the thing that is there, or of their type. */
  readonly good: Readonly<Record<string, unknown>>;
}

export interface HostileWorld {
  readonly app: TestApp;
  readonly targets: readonly Target[];
}

/** A Deckle with one of everything, and what can be asked of it. */
export async function openHostileWorld(): Promise<HostileWorld> {
  const { app, operations, fixtures } = await openWorld([VICTIM]);
  const { body: document } = await app.request('GET', `${API}docs/api.json?pk_path=1`);
  const { body: victims } = await app.request('GET', `${API}users/?username=${VICTIM}`);
  const members = new Map([...fixtures, [`${API}users/`, victims.results[0].pulp_href as string]]);
  const known: Readonly<Record<string, unknown>> = {
    role: 'core.task_owner',
    users: [VICTIM],
    password: PASSWORD,
    artifact: members.get(`${API}artifacts/`),
    remote: members.get(`${API}remotes/container/container/`),
    key: 'a',
    value: 'b',
  };
  const targetOf = async ({ id, method, template, collection, path }: Operation): Promise<Target> => {
    const { parameters, requestBody } = document.paths[template][method.toLowerCase()] as Described;
    const reference = Object.values(requestBody?.content ?? {})[0]?.schema.$ref;
    const component = reference?.split('/').at(-1);
    const schema: Schema | undefined = component === undefined ? undefined : document.components.schemas[component];
    const member = members.get(collection);
    const there = member && schema && method !== 'PATCH' ? (await app.request('GET', member)).body : {};
    const good = Object.keys((schema && method !== 'PATCH' && schema.properties) || {}).flatMap((name): [string, unknown][] => {
      const value = there[name] ?? (schema?.required?.includes(name) ? (known[name] ?? 'text') : null);
      return value === null ? [] : [[name, value]];
    });
    return {
      id,
      method,
      path: collection === `${API}users/` && member ? path.replace(/^.*\/users\/\d+\//, member) : path,
      makes: method === 'POST' && !template.includes('{'),
      queryParameters: parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name),
      ...(component && schema ? { component, schema } : {}),
      good: Object.fromEntries(good),
    };
  };
  const targets: Target[] = [];
  for (const operation of operations) targets.push(await targetOf(operation));
  return { app, targets };
}

/** Asks, and says what is wrong with the answer: a fault of the server, or an error in no recorded shape. */
export async function complaint(
  app: TestApp,
  method: string,
  path: string,
  body?: { readonly text: string; readonly type: string },
): Promise<string | undefined> {
  const response = await fetch(`${app.url}${path}`, {
    method,
    redirect: 'manual',
    headers: {
      authorization: `Basic ${Buffer.from('admin:password').toString('base64')}`,
      ...(body ? { 'content-type': body.type } : {}),
    },
    signal: AbortSignal.timeout(PATIENCE_MS),
    ...(body ? { body: body.text } : {}),
  });
  const answer = await response.text();
  if (response.status < 300) return undefined;
  const said = `${response.status} ${answer.slice(0, 200)}`;
  // Who asks is logged in, and stays so.
  if (response.status >= 500 || response.status === 401 || response.status === 429) return said;
  return isErrorBody(JSON.parse(answer)) ? undefined : `in no recorded shape: ${said}`;
}

export interface Try {
  readonly what: string;
  readonly run: () => Promise<string | undefined>;
}

/** Runs the tries, a few at a time, and answers those that went wrong. */
export async function wrongOf(tries: readonly Try[]): Promise<string[]> {
  const wrong: string[] = [];
  const queue = tries.values();
  const work = async () => {
    for (const { what, run } of queue) {
      const found = await run().catch((error: Error) => `${error} ${error.cause ?? ''}`);
      if (found) wrong.push(`${what}: ${found}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return wrong;
}
