import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { writeLayout } from '../support/image-layout.ts';
import { missing } from '../support/missing.ts';
import { type ClientWorld, PASSWORD, startClientWorld, USER } from './client-world.ts';

/** At once, by each of the two programs. */
const MANY = 8;
const SHARED = layerOf({ 'etc/motd': 'in every image' });

let world: ClientWorld;
before(async () => {
  world = await startClientWorld();
});
after(() => world?.stop());

it('images that are pushed to one repository at once are all there, a version for each', {
  skip: missing('crane', 'skopeo'),
}, async () => {
  const { run, folder } = await world.client();
  await run('crane', ['auth', 'login', world.host, '-u', USER, '-p', PASSWORD]);
  await run('skopeo', ['login', '--tls-verify=false', '-u', USER, '-p', PASSWORD, world.host]);
  const images = ['crane', 'skopeo'].flatMap((program) =>
    Array.from({ length: MANY }, (_, index) => {
      const tag = `${program}-${index}`;
      return { program, tag, image: imageOf({ layers: [SHARED, layerOf({ 'srv/tag': tag })] }) };
    }),
  );
  for (const { tag, image } of images) await writeLayout(join(folder, tag), { [tag]: image });

  await Promise.all(
    images.map(({ program, tag }) => {
      const to = `${world.host}/many/app:${tag}`;
      return program === 'crane'
        ? run('crane', ['push', tag, to, '--insecure'])
        : run('skopeo', ['--insecure-policy', 'copy', '--dest-tls-verify=false', `oci:${tag}:${tag}`, `docker://${to}`]);
    }),
  );

  assert.deepEqual(await world.tags('many/app'), images.map(({ tag }) => tag).sort());
  for (const { tag, image } of images) assert.equal(await world.digest('many/app', tag), image.digest);
  assert.equal(await world.latestVersion('many/app'), images.length);
  await run('crane', ['validate', '--remote', `${world.host}/many/app:crane-0`, '--insecure']);
});
