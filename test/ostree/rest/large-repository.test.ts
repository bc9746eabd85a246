import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startApp, type TestApp } from '../../support/app.ts';
import { insertCommit, insertObjects, sha256 } from './commit-rows.ts';

/*
 * An operating system has tens of thousands of objects, and versions of it follow each other before the database has statistics: each of
 * these tasks took minutes while it took the repository for an empty one. Waiting for a task ends after 20 seconds.
 */

let app: TestApp;
before(async () => {
  app = await startApp();
});
after(() => app?.stop());

test('versions of large repositories follow each other at once', async () => {
  const shared = await insertObjects(app.services, 25_000);
  const refs: string[] = [];
  for (const name of ['a', 'b', 'c', 'd']) {
    const own = await insertObjects(app.services, 2_500);
    refs.push((await insertCommit(app.services, sha256(name), [...shared, ...own])).ref);
  }
  const { body } = await app.request('POST', '/pulp/api/v3/repositories/ostree/ostree/', { name: 'large' });
  const href = body.pulp_href;
  const objects = async (change: object): Promise<number> => {
    const task = await app.run(`${href}modify/`, change);
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    const { body: version } = await app.request('GET', task.created_resources[0]);
    return version.content_summary.present['ostree.object']?.count ?? 0;
  };
  assert.equal(await objects({ add_content_units: refs.slice(0, 1) }), 27_500);
  assert.equal(await objects({ add_content_units: refs.slice(1) }), 35_000);
  assert.equal(await objects({ remove_content_units: refs.slice(0, 1) }), 32_500);
  assert.equal(await objects({ base_version: `${href}versions/1/` }), 27_500);
  assert.equal(await objects({ remove_content_units: ['*'], add_content_units: refs.slice(1, 2) }), 27_500);
  assert.equal(await objects({ remove_content_units: ['*'] }), 0);
});
