import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { type Mirror, startMirror } from './mirror.ts';

const AUTHORIZATION = `Basic ${btoa('admin:password')}`;

let mirror: Mirror;
before(async () => {
  mirror = await startMirror();
});
afterEach(() => mirror.upstream.clearFaults());
after(() => mirror?.stop());

const get = (path: string): Promise<Response> =>
  fetch(`${mirror.installation.url}/v2/${path}`, { headers: { authorization: AUTHORIZATION } });

/** Names of what was made below the path. */
async function madeBelow(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const kind of ['remotes', 'repositories', 'distributions']) {
    const { body } = await mirror.installation.request(
      'GET',
      `/pulp/api/v3/${kind}/container/container/?name__startswith=${path}/`,
    );
    names.push(...(body as { results: { name: string }[] }).results.map(({ name }) => name));
  }
  return names;
}

for (const stage of ['manifest', 'blob'] as const) {
  it(`a server that is killed while the ${stage} of a first pull comes leaves nothing; the next pull is whole`, async () => {
    const path = `killed-${stage}`;
    const remote = await mirror.create('remotes/container/pull-through/', { name: path, url: mirror.upstream.url });
    const { body } = await mirror.installation.request('POST', '/pulp/api/v3/distributions/container/pull-through/', {
      name: path,
      base_path: path,
      remote,
    });
    assert.equal((await mirror.ended((body as { task: string }).task)).state, 'completed');
    const image = imageOf({ layers: [layerOf({ 'etc/name': path })] });
    mirror.upstream.put(path, image, 'latest');
    const until = gate();
    const fault = mirror.upstream.fault({ kind: stage, repository: path, fault: FAULTS.held(until.passed, 20) });
    const pull = get(`${path}/${path}/manifests/latest`).catch((error: unknown) => error);
    await eventually('the pull is held', () => fault.hits > 0);
    const { api } = await mirror.installation.processes();
    for (const pid of api) process.kill(pid, 'SIGKILL');
    assert.ok((await pull) instanceof Error, 'the client is cut off');
    until.open();
    mirror.upstream.clearFaults();
    await eventually('the server is back', async () => (await madeBelow(path).catch(() => undefined)) !== undefined);
    assert.deepEqual(await madeBelow(path), []);
    const again = await get(`${path}/${path}/manifests/latest`);
    assert.deepEqual([again.status, Buffer.from(await again.arrayBuffer())], [200, image.bytes]);
    for (const { digest } of image.blobs) assert.equal((await get(`${path}/${path}/blobs/${digest}`)).status, 200);
    assert.equal((await madeBelow(path)).length, 3);
  });
}
