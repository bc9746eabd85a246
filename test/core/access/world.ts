import { randomUUID } from 'node:crypto';
import { type Answer, orStop, startApp, type TestApp } from '../../support/app.ts';
import { asPushRepository } from '../../support/push-repository.ts';

export const API = '/pulp/api/v3/';
export const PASSWORD = 'Kiesel-7-Wolke';

export interface Operation {
  readonly id: string;
  readonly method: string;
  /** With the values of `fixtures` in place of parameters. */
  readonly path: string;
  readonly template: string;
  /** The collection that the path begins with. */
  readonly collection: string;
}

/** A Deckle in which the administrator has one of everything. */
export interface World {
  readonly app: TestApp;
  readonly operations: readonly Operation[];
  /** Collection -> path of a member that the administrator owns. */
  readonly fixtures: ReadonlyMap<string, string>;
  as(user: string): (method: string, path: string, body?: unknown) => Promise<Answer>;
  made(path: string, body: unknown): Promise<string>;
}

async function upload(app: TestApp, content: string): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([content]), 'file');
  const response = await fetch(`${app.url}${API}artifacts/`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from('admin:password').toString('base64')}` },
    body: form,
  });
  return ((await response.json()) as { pulp_href: string }).pulp_href;
}

/** One of each thing that the API can make. */
async function fill(app: TestApp, made: World['made']): Promise<void> {
  const remote = { url: 'http://127.0.0.1:9/', policy: 'immediate' };
  await made('remotes/container/container/', { ...remote, name: 'secret remote', upstream_name: 'secret' });
  await made('remotes/ostree/ostree/', { ...remote, name: 'secret ostree remote' });
  const images = await made('repositories/container/container/', { name: 'secret images' });
  const trees = await made('repositories/ostree/ostree/', { name: 'secret trees' });
  const distribution = { name: 'secret app', base_path: 'secret/app', repository: images, private: true };
  await app.run(`${API}distributions/container/container/`, distribution);
  await app.run(`${API}distributions/ostree/ostree/`, { name: 'secret os', base_path: 'secret-os', repository: trees });
  const pushed = await asPushRepository(app, await made('repositories/container/container/', { name: 'secret pushes' }));
  const old = { name: 'secret old app', base_path: 'secret-old/app', repository: pushed, private: true };
  await app.run(`${API}distributions/container/container/`, old);
  await made('contentguards/core/rbac/', { name: 'secret rbac' });
  const header = { name: 'secret header', header_name: 'x-a', header_value: 'b' };
  const guard = await made('contentguards/core/header/', header);
  await made('contentguards/core/content_redirect/', { name: 'secret redirect' });
  await made('contentguards/core/envvar_header/', { name: 'secret env', header_name: 'x-a', env_var: 'HOME' });
  await made('contentguards/core/composite/', { name: 'secret composite', guards: [guard] });
  await made('uploads/', { size: 3 });
  await made('groups/', { name: 'secret group' });
  await made('api-tokens/', { name: 'secret token' });
  await made('roles/', { name: 'secret role', permissions: ['core.view_task'] });
  const artifact = await upload(app, 'secret bytes');
  await app.run(`${API}content/ostree/content/`, {
    artifact,
    relative_path: 'extra/secret',
    digest: randomUUID().replaceAll('-', ''),
    repository: trees,
  });
}

/** The operations that the server documents, with paths to what the administrator has. */
async function documented(app: TestApp, fixtures: Map<string, string>): Promise<Operation[]> {
  const { body } = await app.request('GET', `${API}docs/api.json?pk_path=1`);
  const paths = body.paths as Record<string, Record<string, { operationId?: string }>>;
  const lists = Object.keys(paths).filter((path) => !path.includes('{') && paths[path]?.get);
  for (const path of lists) {
    const { body: page } = await app.request('GET', `${path}?limit=1`);
    const href = page?.results?.[0]?.pulp_href as string | undefined;
    if (href?.startsWith(path)) fixtures.set(path, href);
  }
  return Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item).flatMap(([method, { operationId }]): Operation[] => {
      if (operationId === undefined) return [];
      const collection = template.split('{')[0] as string;
      const member = fixtures.get(collection) ?? `${collection}${randomUUID()}/`;
      const path = template
        .replace(/^[^{]*\{[^}]*\}\//, member)
        .replace('{number}', '0')
        .replace('{user_id}', '1')
        .replace(/\{[^}]*\}/g, randomUUID());
      return [{ id: operationId, method: method.toUpperCase(), path, template, collection }];
    }),
  );
}

/** Starts it, with users who have nothing yet. */
export async function openWorld(users: readonly string[]): Promise<World> {
  const app = await startApp({ env: { PULP_ENVVAR_HEADER_CONTENT_GUARD_ALLOWED_VARS: 'HOME' } });
  const made: World['made'] = async (path, body) => {
    const answer = await app.request('POST', `${API}${path}`, body);
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body.pulp_href;
  };
  const fixtures = new Map<string, string>();
  const operations = await orStop(app, async () => {
    for (const username of users) await made('users/', { username, password: PASSWORD });
    await fill(app, made);
    return documented(app, fixtures);
  });
  return {
    app,
    operations,
    fixtures,
    as: (user) => (method, path, body) => app.request(method, path, body, { user: `${user}:${PASSWORD}` }),
    made,
  };
}
