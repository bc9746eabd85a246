import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { descriptorOf, type ImageContent } from '../../src/demo/image.ts';
import { artifactOf, companionTag, referrersIndexOf } from '../support/images.ts';
import { FAULTS } from '../support/upstream-faults.ts';
import { type PullThroughWorld, startPullThroughWorld } from './pull-through-world.ts';

const TYPE = 'application/vnd.example.sbom';

const referrerOf = (subject: ImageContent, text: string): ImageContent =>
  artifactOf({
    artifactType: TYPE,
    subject: descriptorOf(subject, subject.mediaType),
    files: [{ mediaType: 'text/plain', content: text }],
  });

interface Listed {
  readonly digest: string;
  readonly artifactType: string;
}

/** What refers to a digest, as a client is told. */
async function referrers(world: PullThroughWorld, name: string, digest: string, user?: string | null): Promise<Listed[]> {
  const answer = await world.pull(`${name}/referrers/${digest}`, user === undefined ? {} : { user });
  assert.equal(answer.status, 200, answer.bytes.toString());
  const { manifests } = JSON.parse(answer.bytes.toString()) as { manifests: Listed[] };
  return manifests.map(({ digest, artifactType }) => ({ digest, artifactType }));
}

const listed = (...images: readonly ImageContent[]): Listed[] =>
  images.map(({ digest }) => ({ digest, artifactType: TYPE })).sort((one, other) => (one.digest < other.digest ? -1 : 1));

/** What was asked for beside manifests and blobs of the image. */
const questions = (world: PullThroughWorld, repository: string): string[] =>
  world.asked(repository).filter((request) => request.includes('referrers') || request.includes('sha256-'));

describe('referrers of what is pulled through', () => {
  for (const [what, hasApi] of [
    ['with the Referrers API', true],
    ['with fallback tags alone', false],
  ] as const) {
    describe(`from an upstream ${what}`, () => {
      let world: PullThroughWorld;
      before(async () => {
        world = await startPullThroughWorld({}, { referrers: hasApi, referrersPageSize: 2 });
      });
      afterEach(() => world.upstream.clearFaults());
      after(() => world?.stop());

      /** Puts referrers where clients of such an upstream do. */
      const attach = (repository: string, subject: ImageContent, ...images: readonly ImageContent[]): void => {
        for (const image of images) world.upstream.put(repository, image);
        if (hasApi) return;
        const index = referrersIndexOf(images.map((content) => ({ content, artifactType: TYPE })));
        world.upstream.put(repository, index, companionTag(subject.digest, ''));
      };

      /** An image with so many referrers, which was pulled through. */
      const cached = async (count: number) => {
        const { path } = await world.cache();
        const { repository, image } = world.image();
        const attached = Array.from({ length: count }, (_, number) => referrerOf(image, `${repository} ${number}`));
        if (count > 0) attach(repository, image, ...attached);
        const name = `${path}/${repository}`;
        await world.pullImage(name, 'latest', image);
        return { repository, image, attached, name };
      };

      it('are those that the upstream has, and can be pulled', async () => {
        const { image, attached, name } = await cached(3);
        assert.deepEqual(await referrers(world, name, image.digest), listed(...attached));
        for (const one of attached) await world.pullImage(name, one.digest, one);
        await world.pullImage(name, 'latest', image);
      });

      it('are asked for once in a while, and listed while the upstream is down', async () => {
        const { repository, image, attached, name } = await cached(1);
        const lists = await Promise.all(Array.from({ length: 10 }, () => referrers(world, name, image.digest)));
        for (const list of lists) assert.deepEqual(list, listed(...attached));
        const first = questions(world, repository);
        assert.equal(first.filter((request) => request.includes('referrers')).length, 1, first.join(', '));
        world.upstream.fault({ repository, fault: FAULTS.status(500) });
        assert.deepEqual(await referrers(world, name, image.digest), listed(...attached));
        assert.deepEqual(questions(world, repository), first);
      });

      it('are none where the upstream has none, or does not answer', async () => {
        const bare = await cached(0);
        assert.deepEqual(await referrers(world, bare.name, bare.image.digest), []);
        const { repository, image, name } = await cached(1);
        world.upstream.fault({ repository, fault: FAULTS.status(500) });
        assert.deepEqual(await referrers(world, name, image.digest), []);
      });

      it('are not brought for nobody, who is told of those that are cached', async () => {
        const { repository, image, attached, name } = await cached(1);
        assert.deepEqual(await referrers(world, name, image.digest, null), []);
        assert.deepEqual(questions(world, repository), []);
        assert.deepEqual(await referrers(world, name, image.digest), listed(...attached));
        assert.deepEqual(await referrers(world, name, image.digest, null), listed(...attached));
      });
    });
  }
});
