import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type PlainAnswer, type PlainOptions, plainRequest } from '../content-app/plain-request.ts';
import { missing } from '../support/missing.ts';
import { type OstreeFixture, ostree, ostreeFixture } from '../support/ostree-fixtures.ts';
import { OstreeUpstream } from '../support/upstream-ostree.ts';
import { openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';

describe('what OSTree distributions serve', { skip: missing('ostree') }, () => {
  let server: Server;
  let folder: string;
  let fixture: OstreeFixture;
  let upstream: OstreeUpstream;
  let base: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'deckle-ostree-serving-'));
    fixture = await ostreeFixture('small', join(folder, 'upstream'));
    [server, upstream] = [await openServer(), await OstreeUpstream.start(fixture.path)];
    base = await served('immediate');
  });
  after(async () => {
    await server?.stop();
    await upstream?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Mirrors the upstream; the base path of a distribution of it. */
  async function served(policy: string): Promise<string> {
    const name = unique('content');
    const made = await server.request('POST', `${API}remotes/ostree/ostree/`, { name, url: upstream.url, policy });
    const repository = await server.request('POST', `${API}repositories/ostree/ostree/`, { name, compute_delta: false });
    const { pulp_href } = repository.body;
    const sync = await server.finished(await server.request('POST', `${pulp_href}sync/`, { remote: made.body.pulp_href }));
    assert.equal(sync.state, 'completed', JSON.stringify(sync.error));
    const base_path = `${name}/os`;
    const distribution = { name, base_path, repository: pulp_href };
    const task = await server.finished(await server.request('POST', `${API}distributions/ostree/ostree/`, distribution));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    return base_path;
  }

  const ask = (path: string, options?: PlainOptions): Promise<PlainAnswer> =>
    plainRequest(server.url, `/pulp/content/${path}`, options);
  const linksOf = ({ body }: PlainAnswer): string[] =>
    [...body.toString().matchAll(/href="([^"]*)"/g)].map(([, href]) => href as string);

  it('is what the upstream has', async () => {
    const head = fixture.refs.get('stable') as string;
    for (const path of ['config', 'summary', `objects/${head.slice(0, 2)}/${head.slice(2)}.commit`]) {
      const { status, headers, body } = await ask(`${base}/${path}`);
      assert.equal(status, 200, path);
      assert.ok(body.equals(await readFile(join(fixture.path, path))), path);
      assert.equal(headers['content-type'], 'application/octet-stream');
      assert.equal(headers['accept-ranges'], 'bytes');
      assert.equal(headers['x-pulp-artifact-size'], String(body.length));
      assert.ok(headers.etag && headers['last-modified']);
    }
    assert.equal((await ask(`${base}/config`)).headers['cache-control'], 'public, max-age=0, must-revalidate');
    assert.equal((await ask(`${base}/refs/heads/stable`)).body.toString().trim(), head);
  });

  it('is answered in parts, by its head, and not again', async () => {
    const { body, headers } = await ask(`${base}/config`);
    const head = await ask(`${base}/config`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(body.length), 0]);
    const part = await ask(`${base}/config`, { headers: { range: 'bytes=1-4' } });
    assert.deepEqual([part.status, part.headers['content-range']], [206, `bytes 1-4/${body.length}`]);
    assert.ok(part.body.equals(body.subarray(1, 5)));
    const behind = await ask(`${base}/config`, { headers: { range: 'bytes=9000-' } });
    assert.deepEqual([behind.status, behind.headers['content-range']], [416, `bytes */${body.length}`]);
    const known = await ask(`${base}/config`, { headers: { 'if-none-match': headers.etag as string } });
    assert.deepEqual([known.status, known.body.length], [304, 0]);
  });

  it('is in folders', async () => {
    assert.deepEqual(linksOf(await ask(`${base}/`)), ['../', './config', './objects/', './refs/', './summary']);
    assert.deepEqual(linksOf(await ask(`${base}/refs/heads/`)), ['../', './rawhide', './stable']);
    const above = base.split('/')[0] as string;
    assert.deepEqual(linksOf(await ask(`${above}/`)), ['../', './os/']);
    assert.ok(linksOf(await ask('')).includes(`./${above}/`));
    for (const path of [base, `${base}/objects`, above]) {
      const { status, headers } = await ask(path);
      assert.deepEqual([status, headers.location], [301, `/pulp/content/${path}/`]);
    }
  });

  it('is not what is not there', async () => {
    for (const path of ['nope', 'nope/', 'summary.sig', 'refs/heads/nope', 'objects/ab/', '../../config', '%2e%2e/os/config']) {
      const { status, body } = await ask(`${base}/${path}`);
      assert.deepEqual([status, body.toString()], [404, '404: Not Found'], path);
    }
    assert.equal((await ask(`${unique('nobody')}/config`)).status, 404);
    const posted = await ask(`${base}/config`, { method: 'POST' });
    assert.deepEqual([posted.status, posted.headers.allow, posted.body.toString()], [405, 'GET,HEAD', '405: Method Not Allowed']);
  });

  for (const policy of ['immediate', 'on_demand']) {
    it(`is pulled by ostree, mirrored with the policy ${policy}`, async () => {
      const url = `${server.url}/pulp/content/${policy === 'immediate' ? base : await served(policy)}/`;
      const client = join(folder, policy);
      await ostree(client, 'init', '--mode=archive');
      await ostree(client, 'remote', 'add', '--no-gpg-verify', 'server', url);
      await ostree(client, 'pull', '--mirror', 'server');
      for (const [ref, commit] of fixture.refs) assert.equal((await ostree(client, 'rev-parse', ref)).trim(), commit);
      await ostree(client, 'fsck', '--quiet');
    });
  }
});
