import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type PlainAnswer, plainRequest } from '../../content-app/plain-request.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';
import { type FixtureKind, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { filesOf, OstreeRows, type RepositoryFile } from './ostree-rows.ts';

describe('a version is served as the repository it was made of', { skip: missing('ostree', 'gpg') }, () => {
  let app: TestApp;
  let rows: OstreeRows;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-serve-'));
    app = await startApp({ worker: false });
    rows = new OstreeRows(app.services);
  });
  after(async () => {
    await app?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const ask = (path: string): Promise<PlainAnswer> =>
    plainRequest(app.url, `/pulp/content/${path.split('/').map(encodeURIComponent).join('/')}`);
  const fixture = async (kind: FixtureKind): Promise<RepositoryFile[]> =>
    filesOf((await ostreeFixture(kind, join(folder, kind))).path);

  /** Folder -> names in it, a folder's with a slash. */
  function foldersOf(files: readonly RepositoryFile[]): Map<string, Set<string>> {
    const folders = new Map<string, Set<string>>([['', new Set()]]);
    for (const { path } of files) {
      const parts = path.split('/');
      for (const [index, name] of parts.entries()) {
        const above = parts.slice(0, index).join('/');
        const names = folders.get(above) ?? new Set();
        folders.set(above, names.add(index === parts.length - 1 ? name : `${name}/`));
      }
    }
    return folders;
  }

  for (const kind of ['edge', 'delta', 'signed'] as const) {
    it(`${kind}: every file is there, byte by byte, and every folder lists what is in it`, async () => {
      const files = await fixture(kind);
      assert.ok(files.length > 10);
      const repository = await rows.repository();
      await rows.publish(repository, files);
      await rows.distribution(`as/${kind}`, { repository_id: repository });
      for (const { path, bytes } of files) {
        const { status, body } = await ask(`as/${kind}/${path}`);
        assert.equal(status, 200, path);
        assert.ok(body.equals(bytes), path);
      }
      for (const [path, names] of foldersOf(files)) {
        const { status, body } = await ask(`as/${kind}/${path === '' ? '' : `${path}/`}`);
        assert.equal(status, 200, path);
        const links = [...body.toString().matchAll(/href="\.\/([^"]*)"/g)].map(([, href]) => decodeURIComponent(href as string));
        assert.deepEqual(links, [...names].sort(), path);
      }
    });
  }

  it('what the version lacks is not there, whoever else has it', async () => {
    const files = await fixture('small');
    const repository = await rows.repository();
    const before = await rows.publish(repository, files);
    const kept = files.filter(({ path }) => path === 'config' || path === 'summary');
    await rows.publish(repository, kept);
    await rows.distribution('now', { repository_id: repository });
    await rows.distribution('before', { repository_version_id: before });
    const empty = await rows.repository();
    await rows.distribution('empty', { repository_id: empty });
    for (const { path } of files) {
      assert.equal((await ask(`before/${path}`)).status, 200, path);
      assert.equal((await ask(`now/${path}`)).status, kept.some((one) => one.path === path) ? 200 : 404, path);
      assert.equal((await ask(`empty/${path}`)).status, 404, path);
    }
    for (const [path] of foldersOf(files)) {
      const below = path === '' ? '' : `${path}/`;
      assert.equal((await ask(`now/${below}`)).status, path === '' ? 200 : 404, path);
      assert.equal((await ask(`empty/${below}`)).status, 404, path);
    }
  });
});
