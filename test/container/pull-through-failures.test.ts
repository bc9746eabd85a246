import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { gate } from '../queue/gate.ts';
import { FAULTS, type Fault } from '../support/upstream-faults.ts';
import { closedUrl } from '../support/upstream-registry.ts';
import { type PullThroughWorld, startPullThroughWorld } from './pull-through-world.ts';

let world: PullThroughWorld;
before(async () => {
  // Every pull of a tag asks whether it has moved.
  world = await startPullThroughWorld({ DECKLE_PULL_THROUGH_FRESH_SECONDS: '0' });
});
afterEach(() => world.upstream.clearFaults());
after(() => world?.stop());

/** What an upstream may answer to a request for a manifest, and what a client is told for whom nothing is cached. */
const FAILURES: readonly (readonly [what: string, fault: Fault, status: number, code: string])[] = [
  ['404', FAULTS.status(404), 404, 'MANIFEST_UNKNOWN'],
  ['401', FAULTS.status(401), 502, 'UNAVAILABLE'],
  ['403', FAULTS.status(403), 502, 'UNAVAILABLE'],
  ['500', FAULTS.status(500), 502, 'UNAVAILABLE'],
  ['503', FAULTS.status(503), 502, 'UNAVAILABLE'],
  ['429', FAULTS.tooMany(120), 429, 'TOOMANYREQUESTS'],
  ['nothing', FAULTS.drop, 504, 'UNAVAILABLE'],
  ['too late', FAULTS.slowHeaders(5_000), 504, 'UNAVAILABLE'],
  ['half of it', FAULTS.cutOff(20), 502, 'UNAVAILABLE'],
  ['other bytes', FAULTS.wrongDigest, 502, 'UNAVAILABLE'],
  ['a login page', FAULTS.html, 502, 'UNAVAILABLE'],
  ['no JSON', FAULTS.garbage, 502, 'UNAVAILABLE'],
  ['a hundred megabytes', FAULTS.hugeManifest(), 502, 'UNAVAILABLE'],
  ['a redirect to itself', FAULTS.redirectLoop, 502, 'UNAVAILABLE'],
  ['a redirect to an address that is not allowed', FAULTS.redirectTo('http://169.254.169.254'), 502, 'UNAVAILABLE'],
];

/** A cache that gives up soon. */
const impatient = () => world.cache({ remote: { sock_read_timeout: 0.5 } });

for (const [what, fault, status, code] of FAILURES) {
  describe(`an upstream that answers ${what}`, () => {
    it(`is told as ${status} where nothing is cached, and nothing stays behind`, async () => {
      const { path } = await impatient();
      const { repository, image } = world.image();
      world.upstream.put(repository, image, 'other');
      world.upstream.fault({ kind: 'manifest', repository, fault });
      const answers = await Promise.all(
        ['latest', 'latest', 'other'].map((tag) => world.pull(`${path}/${repository}/manifests/${tag}`)),
      );
      for (const answer of answers) assert.deepEqual([answer.status, answer.code], [status, code]);
      if (status === 429) assert.equal(answers[0]?.headers.get('retry-after'), '120');
      assert.deepEqual(await world.madeBelow(path), []);
    });

    it('leaves what is cached as it is', async () => {
      const { path } = await impatient();
      const { repository, image } = world.image();
      const name = `${path}/${repository}`;
      await world.pullImage(name, 'latest', image);
      const moved = imageOf({ labels: { moved: repository } });
      for (const tag of ['latest', 'other']) world.upstream.put(repository, moved, tag);
      world.upstream.fault({ kind: 'manifest', repository, fault });
      await world.pullImage(name, 'latest', image);
      const unknown = await world.pull(`${name}/manifests/other`);
      assert.deepEqual([unknown.status, unknown.code], [status, code]);
    });
  });
}

it('an upstream that is not there is told as 504, and what is cached is served', async () => {
  const { path, remote } = await world.cache();
  const { repository, image } = world.image();
  await world.pullImage(`${path}/${repository}`, 'latest', image);
  await world.change('PATCH', remote, { url: await closedUrl() });
  await world.pullImage(`${path}/${repository}`, 'latest', image);
  for (const name of [`${path}/${repository}`, `${path}/up/never`]) {
    const answer = await world.pull(`${name}/manifests/unknown`);
    assert.deepEqual([answer.status, answer.code], [504, 'UNAVAILABLE']);
  }
});

it('a config that cannot be had makes nothing', async () => {
  const { path } = await impatient();
  for (const [fault, status, code] of [
    [FAULTS.wrongDigest, 502, 'UNAVAILABLE'],
    [FAULTS.tooMany(7), 429, 'TOOMANYREQUESTS'],
  ] as const) {
    const { repository } = world.image();
    world.upstream.fault({ kind: 'blob', repository, fault });
    const answer = await world.pull(`${path}/${repository}/manifests/latest`);
    assert.deepEqual([answer.status, answer.code], [status, code]);
  }
  assert.deepEqual(await world.madeBelow(path), []);
});

it('a wrong layer is given to nobody', async () => {
  const { path } = await world.cache();
  const { repository, image } = world.image();
  const layer = image.blobs[1]?.digest;
  world.upstream.fault({ kind: 'blob', reference: layer ?? '', fault: FAULTS.wrongDigest });
  assert.equal((await world.pull(`${path}/${repository}/manifests/latest`)).status, 200);
  const answer = await world.pull(`${path}/${repository}/blobs/${layer}`);
  assert.deepEqual([answer.status, answer.code], [502, 'UNAVAILABLE']);
});

/** A repository whose tag `latest` was pulled through, and has moved since. */
async function movedTag() {
  const { path } = await world.cache();
  const { repository, image } = world.image();
  const name = `${path}/${repository}`;
  await world.pullImage(name, 'latest', image);
  const moved = imageOf({ layers: [layerOf({ 'etc/name': `${repository} moved` })] });
  world.upstream.put(repository, moved, 'latest');
  return { repository, name, image, moved };
}

describe('a tag that has moved', () => {
  it('is renewed by one request, by a second one where it has', async () => {
    const { path } = await world.cache();
    const { repository, image } = world.image();
    const name = `${path}/${repository}`;
    await world.pullImage(name, 'latest', image);
    await world.pullImage(name, 'latest', image);
    const moved = imageOf({ layers: [layerOf({ 'etc/name': `${repository} moved` })] });
    world.upstream.put(repository, moved, 'latest');
    await world.pullImage(name, 'latest', moved);
    await world.pullImage(name, image.digest, image);
    assert.deepEqual(
      world.asked(repository).filter((request) => request.includes('manifest')),
      ['GET manifest latest', 'HEAD manifest latest', 'HEAD manifest latest', 'GET manifest latest'],
    );
    const tags = await world.pull(`${name}/tags/list`);
    assert.deepEqual(JSON.parse(tags.bytes.toString()).tags, ['latest']);
  });

  it('is what everybody gets who asks at once', async () => {
    const { repository, name, moved } = await movedTag();
    await Promise.all(Array.from({ length: 20 }, () => world.pullImage(name, 'latest', moved)));
    const gets = world.asked(repository).filter((request) => request === 'GET manifest latest');
    assert.equal(gets.length, 2);
  });

  it('is found without a digest in the upstream’s answer, too', async () => {
    const { repository, name, moved } = await movedTag();
    world.upstream.fault({ kind: 'manifest', repository, method: 'HEAD', fault: FAULTS.status(405) });
    await world.pullImage(name, 'latest', moved);
  });

  it('is waited for some seconds, and looked for on', async () => {
    const { repository, name, image, moved } = await movedTag();
    const until = gate();
    world.upstream.fault({ kind: 'manifest', repository, fault: FAULTS.held(until.passed) });
    await world.pullImage(name, 'latest', image);
    until.open();
    await eventually('the tag has moved', async () => {
      const { bytes } = await world.pull(`${name}/manifests/${moved.digest}`);
      return bytes.equals(moved.bytes);
    });
    await world.pullImage(name, 'latest', moved);
  });
});
