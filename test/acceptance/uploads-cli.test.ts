import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { cliSuite } from './cli-suite.ts';
import type { Body } from './server.ts';

const UPLOADS = '/pulp/api/v3/uploads/';

describe('by the pulp command line', { skip: missing('pulp') }, () => {
  const suite = cliSuite();
  const { pulp } = suite;

  async function newFile(size: number): Promise<{ path: string; sha256: string }> {
    const bytes = randomBytes(size);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const path = join(suite.cli.folder, sha256);
    await writeFile(path, bytes);
    return { path, sha256 };
  }

  const mine = async (): Promise<Body[]> =>
    (await suite.server.request('GET', `${UPLOADS}?size__range=1234000,1235000`)).body.results;

  for (const [what, options] of [
    ['whole', []],
    ['in chunks', ['--chunk-size', '100000']],
    ['in one chunk that is larger', ['--chunk-size', '10MB']],
  ] as const) {
    it(`an artifact is uploaded ${what}, listed and shown`, async () => {
      const { path, sha256 } = await newFile(1_234_567);
      const made = await pulp('artifact', 'upload', '--file', path, ...options);
      assert.deepEqual([made.size, made.sha256], [1_234_567, sha256]);
      assert.deepEqual(await pulp('artifact', 'list', '--sha256', sha256), [made]);
      assert.deepEqual(await pulp('artifact', 'show', '--sha256', sha256), made);
      assert.deepEqual(await pulp('artifact', 'show', '--href', made.pulp_href), made);
      assert.deepEqual(await pulp('artifact', 'upload', '--file', path, ...options), made);
      assert.deepEqual(await mine(), []);
    });
  }

  it('uploads are listed, shown and deleted', async () => {
    const { body } = await suite.server.request('POST', UPLOADS, { size: 1_234_000 });
    const listed = await pulp('upload', 'list', '--limit', '1000');
    assert.ok(listed.some(({ pulp_href }: Body) => pulp_href === body.pulp_href));
    assert.deepEqual(await pulp('upload', 'show', '--href', body.pulp_href), { ...body, chunks: [] });
    await pulp('upload', 'destroy', '--href', body.pulp_href);
    assert.deepEqual(await mine(), []);
  });

  it('signing services are listed', async () => {
    assert.ok(Array.isArray(await pulp('signing-service', 'list')));
    assert.deepEqual(await pulp('signing-service', 'list', '--name', 'nobody'), []);
    await assert.rejects(pulp('signing-service', 'show', '--name', 'nobody'), { stderr: /Could not find signing service/ });
  });
});
