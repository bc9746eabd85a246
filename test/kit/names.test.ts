import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  collectionOf,
  collectionPath,
  hrefOf,
  isUuid,
  parseReference,
  permissionOf,
  pieces,
  prnOf,
  prnType,
  snakeCase,
} from '../../src/kit/names.ts';

const ID = '01a1fb38-4e04-7b05-b924-15662fb85683';
const REMOTES = '/pulp/api/v3/remotes/container/container/';

// Names as Pulp has them (spec: core, addressing).
test('collections, hrefs and PRNs follow kind, plugin and model', () => {
  const remote = { kind: 'remotes', plugin: 'container', endpoint: 'container', model: 'ContainerRemote' };
  assert.deepEqual(pieces(remote), ['remotes', 'container', 'container']);
  assert.equal(collectionPath(remote), REMOTES);
  assert.equal(hrefOf(remote, ID), `${REMOTES}${ID}/`);
  assert.equal(prnType(remote), 'container.containerremote');
  assert.equal(prnOf('container', 'ContainerRemote', ID), `prn:container.containerremote:${ID}`);
  assert.equal(collectionOf('remotes', 'container.container'), REMOTES);
});

test('core has no path piece of its own where the kind is the whole path', () => {
  const worker = { kind: 'workers', plugin: 'core', endpoint: '', model: 'Worker', prn: 'core.appstatus' };
  assert.equal(collectionPath(worker), '/pulp/api/v3/workers/');
  assert.equal(prnType(worker), 'core.appstatus');
  const guard = { kind: 'contentguards', plugin: 'core', endpoint: 'content_redirect', model: 'ContentRedirectContentGuard' };
  assert.equal(collectionPath(guard), '/pulp/api/v3/contentguards/core/content_redirect/');
});

test('permissions follow the model, unless they are spelt out', () => {
  const remote = { plugin: 'container', model: 'ContainerRemote' };
  assert.equal(permissionOf(remote, 'view'), 'container.view_containerremote');
  assert.equal(permissionOf(remote, 'manage_roles'), 'container.manage_roles_containerremote');
  assert.equal(permissionOf(remote, 'core.manage_content_labels'), 'core.manage_content_labels');
});

test('a model is spelt in snake case in the names of hrefs', () => {
  assert.equal(snakeCase('ContainerRemote'), 'container_remote');
  assert.equal(snakeCase('Tag'), 'tag');
});

test('a resource is named by path, URL or PRN', () => {
  const remote = { by: 'href', collection: REMOTES, id: ID };
  assert.deepEqual(parseReference(`${REMOTES}${ID}/`), remote);
  assert.deepEqual(parseReference(`https://mirror.example.org:8443${REMOTES}${ID}/`), remote);
  assert.deepEqual(parseReference(`/pulp/api/v3/tasks/${ID}/`), { by: 'href', collection: '/pulp/api/v3/tasks/', id: ID });
  assert.deepEqual(parseReference(`prn:container.containerremote:${ID}`), {
    by: 'prn',
    type: 'container.containerremote',
    id: ID,
  });
  assert.deepEqual(parseReference(`/pulp/api/v3/repositories/container/container/${ID}/versions/12/`), {
    by: 'href',
    collection: '/pulp/api/v3/repositories/container/container/',
    id: ID,
    version: 12,
  });
});

for (const text of [
  '',
  'x',
  '/',
  REMOTES,
  `${REMOTES}${ID}`,
  `${REMOTES}${ID}/x/`,
  `${REMOTES}${ID.toUpperCase()}/`,
  `${REMOTES}../${ID}/`,
  `${REMOTES}${ID}/versions/`,
  `${REMOTES}${ID}/versions/-1/`,
  `${REMOTES}${ID}/versions/1.5/`,
  `${REMOTES}${ID}/versions/99999999999/`,
  `${REMOTES}${ID}/\n`,
  ` ${REMOTES}${ID}/`,
  `/pulp/api/v4/remotes/container/container/${ID}/`,
  `ftp://host${REMOTES}${ID}/`,
  `//host${REMOTES}${ID}/`,
  'prn:',
  'prn:x',
  `prn:container:${ID}`,
  `prn:container.containerremote:`,
  `prn:container.containerremote:${ID}:x`,
  `PRN:container.containerremote:${ID}`,
  `prn:container.containerremote:'; drop table remote`,
]) {
  test(`${JSON.stringify(text)} names nothing`, () => assert.equal(parseReference(text), undefined));
}

test('an id is a UUID in lower case, with dashes', () => {
  assert.equal(isUuid(ID), true);
  for (const text of ['', 'x', ID.toUpperCase(), ID.replaceAll('-', ''), `${ID}0`, `{${ID}}`, `${ID}\n`])
    assert.equal(isUuid(text), false, text);
});
