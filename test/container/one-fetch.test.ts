import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { type ImageContent, imageOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { type ServerBeside, startServerBeside } from '../support/server-beside.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { type PullThroughWorld, sha256, startPullThroughWorld } from './pull-through-world.ts';

/* What two server processes ask an upstream for, whose clients ask for the same at a time. */

const MEGABYTE = 1_000_000;
const USER = 'admin:password';

let world: PullThroughWorld;
let beside: ServerBeside;
before(async () => {
  world = await startPullThroughWorld({ DECKLE_PULL_THROUGH_FRESH_SECONDS: '0' });
  beside = await startServerBeside(world.app);
});
afterEach(() => world.upstream.clearFaults());
after(async () => {
  await beside?.kill();
  await world?.stop();
});

/** An image of a small and a large layer behind a cache. */
async function cached(settings: { readonly remote?: object } = {}) {
  const { path } = await world.cache(settings);
  const repository = `up/${world.name()}`;
  const image = imageOf({ layers: [largeLayer(repository, 4 * MEGABYTE), layerOf({ 'etc/name': repository })] });
  world.upstream.put(repository, image, 'latest');
  const name = `${path}/${repository}`;
  const headers = await world.authorizationOf(name, USER);
  const get = (server: { readonly url: string }, what: string) => fetch(`${server.url}/v2/${name}/${what}`, { headers });
  return { repository, image, large: image.blobs[1]?.digest as string, get };
}

const digestOf = async (response: Response): Promise<string> => {
  assert.equal(response.status, 200);
  return sha256(Buffer.from(await response.arrayBuffer()));
};

const everything = ({ blobs }: ImageContent): string[] =>
  ['GET manifest latest', ...blobs.map(({ digest }) => `GET blob ${digest}`)].sort();

describe('clients of two processes', () => {
  it('cost one fetch of each manifest and blob', async () => {
    const { repository, image, get } = await cached();
    const client = async (server: { readonly url: string }) => {
      assert.equal(await digestOf(await get(server, 'manifests/latest')), image.digest);
      const blobs = image.blobs.map(async ({ digest }) =>
        assert.equal(await digestOf(await get(server, `blobs/${digest}`)), digest),
      );
      await Promise.all(blobs);
    };
    await Promise.all(Array.from({ length: 20 }, (_, number) => client(number % 2 ? beside : world.app)));
    // Later ones ask whether the tag has moved.
    const asked = world.asked(repository).filter((request) => !request.startsWith('HEAD'));
    assert.deepEqual([...asked].sort(), everything(image));
  });

  it('get the bytes of a layer while they come, whichever process fetches it', async () => {
    const { repository, large, get } = await cached();
    await digestOf(await get(world.app, 'manifests/latest'));
    const until = gate();
    const fault = world.upstream.fault({ repository, kind: 'blob', fault: FAULTS.held(until.passed, 2 * MEGABYTE) });
    const first = await get(beside, `blobs/${large}`);
    const second = await get(world.app, `blobs/${large}`);
    const reader = second.body?.getReader();
    const chunks: Uint8Array[] = [];
    const next = async (): Promise<boolean> => {
      const step = await reader?.read();
      if (step?.value) chunks.push(step.value);
      return step?.done === false;
    };
    assert.ok(await next(), 'bytes came before the upstream has given all');
    until.open();
    while (await next());
    assert.deepEqual([await digestOf(first), sha256(Buffer.concat(chunks))], [large, large]);
    assert.equal(fault.hits, 1);
  });

  for (const kind of ['manifest', 'blob'] as const) {
    it(`are all told what the upstream said who was asked for a ${kind} once`, async () => {
      const { repository, large, get } = await cached();
      if (kind === 'blob') await digestOf(await get(world.app, 'manifests/latest'));
      const what = kind === 'blob' ? `blobs/${large}` : 'manifests/latest';
      let waiting = 0;
      const stopListening = await world.app.services.db.listen('deckle_claim', (payload) => {
        if (JSON.parse(payload).type === 'ask') waiting += 1;
      });
      const until = gate();
      const fault = world.upstream.fault({ repository, kind, fault: FAULTS.throttled(until.passed, '7') });
      const first = get(beside, what);
      await eventually('the upstream is asked', () => fault.hits > 0);
      const others = [get(world.app, what), get(world.app, what), get(beside, what)];
      await eventually('the other process waits', () => waiting > 0);
      until.open();
      const told = await Promise.all(
        [first, ...others].map(async (asked) => {
          const answer = await asked;
          return [answer.status, answer.headers.get('retry-after'), JSON.parse(await answer.text()).errors[0].code];
        }),
      );
      assert.deepEqual(told, Array(4).fill([429, '7', 'TOOMANYREQUESTS']));
      assert.equal(fault.hits, 1);
      await stopListening();
    });
  }

  it('ask once whether a tag has moved, and get the new image', async () => {
    const { repository, image, get } = await cached();
    await digestOf(await get(world.app, 'manifests/latest'));
    const moved = imageOf({ layers: [layerOf({ 'etc/name': `${repository} moved` })] });
    world.upstream.put(repository, moved, 'latest');
    const digests = await Promise.all(
      Array.from({ length: 10 }, async (_, number) => digestOf(await get(number % 2 ? beside : world.app, 'manifests/latest'))),
    );
    assert.deepEqual([...new Set(digests)], [moved.digest]);
    assert.equal(world.asked(repository).filter((request) => request === 'GET manifest latest').length, 2);
    assert.notEqual(moved.digest, image.digest);
  });
});

it('a tag that one process has asked for is not asked for again by another, for a while', async () => {
  const lasting = await startPullThroughWorld();
  const other = await startServerBeside(lasting.app);
  try {
    const { path } = await lasting.cache();
    const { repository, image } = lasting.image();
    const headers = await lasting.authorizationOf(`${path}/${repository}`, USER);
    for (const { url } of [other, lasting.app, other, lasting.app]) {
      const answer = await fetch(`${url}/v2/${path}/${repository}/manifests/latest`, { headers });
      assert.equal(await digestOf(answer), image.digest);
    }
    const asked = lasting.asked(repository).filter((request) => request.includes('manifest'));
    assert.deepEqual(asked, ['GET manifest latest']);
  } finally {
    await other.kill();
    await lasting.stop();
  }
});

describe('a process that is killed while it fetches', () => {
  for (const [stage, after] of [
    ['before the first byte', undefined],
    ['half-way', 2 * MEGABYTE],
  ] as const) {
    it(`a layer, ${stage}, leaves it to the other`, async () => {
      const { repository, large, get } = await cached();
      await digestOf(await get(world.app, 'manifests/latest'));
      const until = gate();
      const fault = world.upstream.fault({ repository, kind: 'blob', times: 1, fault: FAULTS.held(until.passed, after) });
      const victim = await startServerBeside(world.app);
      const cutOff = get(victim, `blobs/${large}`).then(digestOf);
      cutOff.catch(() => undefined);
      await eventually('the layer is asked for', () => fault.hits > 0);
      const other = get(world.app, `blobs/${large}`).then(digestOf);
      other.catch(() => undefined);
      // Where bytes have come they have been passed on: the client has to ask again, as clients do.
      if (after !== undefined) await eventually('bytes have come', async () => (await get(world.app, `blobs/${large}`)).ok);
      await victim.kill();
      until.open();
      await assert.rejects(cutOff);
      if (after === undefined) assert.equal(await other, large);
      else await assert.rejects(other);
      assert.equal(await digestOf(await get(world.app, `blobs/${large}`)), large);
      world.upstream.clearFaults();
    });
  }

  it('a manifest leaves it to the other', async () => {
    const { repository, image, get } = await cached();
    const until = gate();
    const fault = world.upstream.fault({ repository, kind: 'manifest', times: 1, fault: FAULTS.held(until.passed) });
    const victim = await startServerBeside(world.app);
    const cutOff = get(victim, 'manifests/latest');
    cutOff.catch(() => undefined);
    await eventually('the manifest is asked for', () => fault.hits > 0);
    const other = get(world.app, 'manifests/latest');
    await victim.kill();
    until.open();
    await assert.rejects(cutOff);
    assert.equal(await digestOf(await other), image.digest);
  });
});

it('a process that stands still while it fetches holds up the others for some seconds only', async () => {
  const { repository, large, get } = await cached();
  await digestOf(await get(world.app, 'manifests/latest'));
  const until = gate();
  const fault = world.upstream.fault({ repository, kind: 'blob', times: 1, fault: FAULTS.held(until.passed) });
  const victim = await startServerBeside(world.app);
  try {
    const stuck = get(victim, `blobs/${large}`);
    stuck.catch(() => undefined);
    await eventually('the layer is asked for', () => fault.hits > 0);
    victim.process.kill('SIGSTOP');
    assert.equal(await digestOf(await get(world.app, `blobs/${large}`)), large);
  } finally {
    until.open();
    await victim.kill();
  }
});
