import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OstreeRows } from '../ostree/serve/ostree-rows.ts';
import { eventually } from '../queue/eventually.ts';
import { type Answer, startApp, type TestApp } from '../support/app.ts';
import { type PlainAnswer, plainRequest } from './plain-request.ts';

const DISTRIBUTIONS = '/pulp/api/v3/distributions/ostree/ostree/';
const file = { path: 'config', bytes: Buffer.from('[core]\n') };

let app: TestApp;
let rows: OstreeRows;

before(async () => {
  app = await startApp();
  rows = new OstreeRows(app.services);
});
after(() => app?.stop());

const ask = (path: string): Promise<PlainAnswer> => plainRequest(app.url, `/pulp/content/${path}`);
const becomes = (path: string, status: number) =>
  eventually(`${path} to be answered with ${status}`, async () => (await ask(path)).status === status);

/** A repository with a file, and a distribution that the REST API has made of it; their hrefs. */
async function served(base_path: string): Promise<{ repository: string; distribution: string }> {
  const id = await rows.repository();
  await rows.publish(id, [file]);
  const repository = `/pulp/api/v3/repositories/ostree/ostree/${id}/`;
  const task = await app.run(DISTRIBUTIONS, { name: base_path, base_path, repository });
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return { repository, distribution: task.created_resources[0] };
}

async function change(method: string, href: string, fields?: object): Promise<void> {
  const answer: Answer = await app.request(method, href, fields);
  if (answer.body?.task) assert.equal((await app.finished(answer)).state, 'completed');
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
}

test('a new distribution is served at once, to everybody', async () => {
  await becomes('fresh/config', 404);
  await served('fresh');
  await becomes('fresh/config', 200);
});

test('a distribution that moves is served where it is, and no more where it was', async () => {
  const { distribution } = await served('old/place');
  await becomes('old/place/config', 200);
  await change('PATCH', distribution, { base_path: 'new/place' });
  await becomes('new/place/config', 200);
  await becomes('old/place/config', 404);
});

test('a guard that is set is asked from then on', async () => {
  const { distribution } = await served('guarded');
  await becomes('guarded/config', 200);
  const { body } = await app.request('GET', '/pulp/api/v3/contentguards/core/content_redirect/');
  await change('PATCH', distribution, { content_guard: body.results[0].pulp_href });
  await becomes('guarded/config', 403);
  await change('PATCH', distribution, { content_guard: null });
  await becomes('guarded/config', 200);
});

test('what is deleted is gone', async () => {
  const { distribution } = await served('going');
  await becomes('going/config', 200);
  await change('DELETE', distribution);
  await becomes('going/config', 404);
  await becomes('going/', 404);
});

test('a distribution outlives its repository, and serves nothing', async () => {
  const { repository } = await served('orphan');
  await becomes('orphan/config', 200);
  await change('DELETE', repository);
  await becomes('orphan/config', 404);
  assert.match((await ask('orphan/')).body.toString(), /serves no repository/);
});

test('without a cache everything is looked up each time, and nothing is said of it', async () => {
  const plain = await startApp({ worker: false, env: { PULP_CACHE_ENABLED: 'false' } });
  try {
    const own = new OstreeRows(plain.services);
    const repository = await own.repository();
    await own.distribution('plain', { repository_id: repository });
    const read = async () => {
      const { headers, body } = await plainRequest(plain.url, '/pulp/content/plain/config');
      assert.equal(headers['x-pulp-cache'], undefined);
      return body.toString();
    };
    for (const text of ['one', 'two']) {
      await own.publish(repository, [{ path: 'config', bytes: Buffer.from(text) }]);
      assert.equal(await read(), text);
      assert.equal(await read(), text);
    }
  } finally {
    await plain.stop();
  }
});
