import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { imageOf, multiPlatformOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { eventually } from '../queue/eventually.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { atomicSigner } from '../support/atomic-signature.ts';
import { missing } from '../support/missing.ts';
import { asPushRepository } from '../support/push-repository.ts';
import { type SigningKey, signingKey } from '../support/signing-key.ts';
import type { RegistryUser } from './push-rig.ts';
import {
  DISTRIBUTIONS,
  REPOSITORIES,
  registryUser,
  repositoryOf,
  SIGNATURES,
  signingServiceOf,
  standaloneSign,
} from './signing-rig.ts';

const run = promisify(execFile);
const IMAGE = imageOf({ layers: [layerOf({ 'etc/motd': 'signed' })] });
const OTHER = imageOf({ layers: [layerOf({ 'etc/motd': 'other' })] });
const INDEX = multiPlatformOf(['linux/amd64', 'linux/arm64'], ({ architecture }) => ({
  layers: [layerOf({ 'etc/motd': architecture })],
}));

describe('signing a repository', { skip: missing('gpg', 'skopeo') }, () => {
  let app: TestApp;
  let key: SigningKey;
  let user: RegistryUser;
  let service: string;
  before(async () => {
    [app, key] = await Promise.all([startApp(), signingKey('primary')]);
    user = registryUser(app);
    service = await signingServiceOf(app, key, 'skopeo', standaloneSign(key));
  });
  after(async () => {
    await app?.stop();
    await key?.remove();
  });

  const registry = () => new URL(app.services.config.PULP_CONTENT_ORIGIN).host;
  const signaturesOf = async (version: string) => {
    const { body } = await app.request('GET', `${SIGNATURES}?repository_version=${version}&limit=100`);
    return body.results;
  };
  const latest = async (name: string) => (await repositoryOf(app, name)).latest_version_href;

  /** The signatures that the registry gives of a manifest. */
  async function served(name: string, digest: string): Promise<Buffer[]> {
    const response = await user.ask('GET', name, `/extensions/v2/${name}/signatures/${digest}`);
    assert.equal(response.status, 200);
    const { signatures } = (await response.json()) as { signatures: { content: string; name: string }[] };
    for (const one of signatures) assert.match(one.name, new RegExp(`^${digest}@[0-9a-f]{32}$`));
    return signatures.map(({ content }) => Buffer.from(content, 'base64'));
  }

  /** skopeo's verdict. */
  async function verify(manifest: Buffer, reference: string, signature: Buffer): Promise<void> {
    const files = [join(key.home, 'manifest.json'), join(key.home, 'signature')] as const;
    await writeFile(files[0], manifest);
    await writeFile(files[1], signature);
    const { stdout } = await run('skopeo', ['standalone-verify', files[0], reference, key.fingerprint, files[1]], {
      env: { ...process.env, GNUPGHOME: key.home },
    });
    assert.match(stdout, /Signature verified/);
  }

  it('signs every image under every tag, and what indexes list', async () => {
    const name = 'team/all';
    await user.image(name, 'one', IMAGE);
    await user.image(name, 'same', IMAGE);
    await user.image(name, 'many', INDEX);
    await user.image(name, 'sha256-0.sig', OTHER);
    const repository = await repositoryOf(app, name);
    const before = repository.latest_version_href;
    const task = await app.run(`${repository.pulp_href}sign/`, { manifest_signing_service: service });
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal(task.name, 'pulp_container.app.tasks.sign.sign');
    assert.equal(task.result, null);
    const version = await latest(name);
    assert.notEqual(version, before);
    assert.deepEqual(task.created_resources, [version]);
    const { body } = await app.request('GET', version);
    assert.deepEqual(
      Object.fromEntries(Object.entries<{ count: number }>(body.content_summary.added).map(([type, { count }]) => [type, count])),
      {
        'container.signature': 5,
      },
    );
    assert.deepEqual(body.content_summary.removed, {});

    const expected = [
      [IMAGE, 'one'],
      [IMAGE, 'same'],
      [INDEX, 'many'],
      ...INDEX.children.map((child) => [child, 'many'] as const),
    ] as const;
    for (const [image, tag] of expected) {
      const results: string[] = [];
      for (const signature of await served(name, image.digest)) {
        const verdict = verify(image.bytes, `${registry()}/${name}:${tag}`, signature);
        results.push(
          await verdict.then(
            () => 'verified',
            () => 'refused',
          ),
        );
      }
      assert.equal(results.filter((verdict) => verdict === 'verified').length, 1, `${tag}: ${results}`);
    }
    assert.deepEqual(await served(name, OTHER.digest), []);
    for (const signature of await signaturesOf(version)) {
      assert.equal(signature.type, 'atomic');
      assert.ok(signature.creator.startsWith('atomic '), signature.creator);
      assert.deepEqual([signature.fingerprint, signature.key_id], [key.fingerprint, key.fingerprint.slice(-16)]);
    }
  });

  it('signs the images of the tags that are named, and refuses tags that are not there', async () => {
    const name = 'team/some';
    await user.image(name, 'one', IMAGE);
    await user.image(name, 'other', OTHER);
    const { pulp_href } = await repositoryOf(app, name);
    const sign = (tags: unknown) =>
      app.request('POST', `${pulp_href}sign/`, { manifest_signing_service: service, tags_list: tags });
    const unknown = await sign(['one', 'on', 'two']);
    assert.equal(unknown.status, 400);
    assert.deepEqual(unknown.body, { tags_list: ["The latest repository version has no such tags: 'on', 'two'."] });
    assert.equal((await sign('one')).status, 400);
    assert.equal((await app.finished(await sign(['one']))).state, 'completed');
    assert.equal((await served(name, IMAGE.digest)).length, 1);
    assert.deepEqual(await served(name, OTHER.digest), []);
  });

  it('takes the service of the repository, and asks for one where it has none', async () => {
    const made = await app.request('POST', REPOSITORIES, { name: 'own service', manifest_signing_service: service });
    const none = await app.request('POST', REPOSITORIES, { name: 'no service' });
    const path = { future_base_path: 'some/where' };
    const wanting = {
      manifest_signing_service: ['This field is required since a signing_service is not set on the repo.'],
    };
    for (const given of [path, { ...path, manifest_signing_service: null }]) {
      const refused = await app.request('POST', `${none.body.pulp_href}sign/`, given);
      assert.deepEqual([refused.status, refused.body], [400, wanting]);
    }
    // Nothing is there to sign.
    const task = await app.run(`${made.body.pulp_href}sign/`, path);
    assert.deepEqual([task.state, task.created_resources], ['completed', []]);
  });

  it('takes the base path of the only distribution, else the one that is given', async () => {
    const name = 'team/paths';
    await user.image(name, 'one', IMAGE);
    const { pulp_href } = await repositoryOf(app, name);
    const sign = (body: object) => app.request('POST', `${pulp_href}sign/`, { manifest_signing_service: service, ...body });
    const single = await sign({ future_base_path: 'else/where' });
    assert.deepEqual(single.body, {
      future_base_path: ['This field cannot be set since this repo has a single distribution.'],
    });
    const second = await app.run(DISTRIBUTIONS, { name: 'second', base_path: 'else/where', repository: pulp_href });
    assert.equal(second.state, 'completed');
    const several = await sign({});
    assert.deepEqual(several.body, {
      future_base_path: ['This field is required since this repo has zero or multiple distributions.'],
    });
    const bad = await sign({ future_base_path: 'Else where' });
    assert.deepEqual(bad.body, { future_base_path: ['The provided registry path contains forbidden characters.'] });
    assert.equal((await app.finished(await sign({ future_base_path: 'else/where' }))).state, 'completed');
    const [signature] = await served(name, IMAGE.digest);
    await verify(IMAGE.bytes, `${registry()}/else/where:one`, signature as Buffer);
  });

  it('signs what pushes made in an older server, and takes the signatures of a key away', async () => {
    const name = 'team/old';
    await user.image(name, 'one', IMAGE);
    const { pulp_href } = await repositoryOf(app, name);
    // Another one's signature stays.
    const other = atomicSigner('other');
    const body = { schemaVersion: 2, type: 'atomic', name: `${IMAGE.digest}@${'0'.repeat(32)}` };
    const content = other.sign(`${registry()}/${name}:one`, IMAGE.digest).toString('base64');
    const path = `/extensions/v2/${name}/signatures/${IMAGE.digest}`;
    assert.equal((await user.ask('PUT', name, path, { body: JSON.stringify({ ...body, content }) })).status, 201);
    const href = await asPushRepository(app, pulp_href);
    const signed = await app.run(`${href}sign/`, { manifest_signing_service: service });
    assert.equal(signed.state, 'completed', JSON.stringify(signed.error));
    const { latest_version_href: version } = (await app.request('GET', href)).body;
    assert.deepEqual(signed.created_resources, [version]);
    assert.ok(version.startsWith(href));
    assert.equal((await served(name, IMAGE.digest)).length, 2);

    const signed_with_key_id = key.fingerprint.slice(-16);
    const removed = await app.run(`${href}remove_signatures/`, { signed_with_key_id });
    assert.equal(removed.state, 'completed', JSON.stringify(removed.error));
    assert.deepEqual(
      (await served(name, IMAGE.digest)).map((signature) => signature.toString('base64')),
      [content],
    );
    const { body: latestVersion } = await app.request('GET', removed.created_resources[0]);
    assert.deepEqual(Object.keys(latestVersion.content_summary.removed), ['container.signature']);
    const none = await app.request('POST', `${href}remove_signatures/`, { signed_with_key_id });
    assert.deepEqual(
      [none.status, none.body],
      [
        400,
        {
          non_field_errors: [
            `There are no signatures in the latest repository version '<Repository: ${name}; Version: ${latestVersion.number}>' produced with the specified key_id '${signed_with_key_id}'`,
          ],
        },
      ],
    );
    const required = await app.request('POST', `${href}remove_signatures/`, {});
    assert.deepEqual([required.status, required.body], [400, { signed_with_key_id: ['This field is required.'] }]);
  });

  /** A script that signs its sample, and does this with every other file. */
  const unless = (body: string) => `if [ "$REFERENCE" = test ]; then ${standaloneSign(key)}; exit; fi\n${body}`;
  const PRINT = 'echo "{\\"signature_path\\": \\"$SIG_PATH\\"}"';
  const failures = {
    fails: ['echo no card in the reader >&2; exit 3', /: .*fails\.sh failed: no card in the reader$/],
    'prints no json': ['echo done', /has to print JSON with the path of the signature as "signature_path"$/],
    'leaves nothing': [PRINT, /there is no signature to be read at .* \(ENOENT\)$/],
    'writes rubbish': [`echo rubbish > "$SIG_PATH"; ${PRINT}`, /A signature is not an OpenPGP message/],
    'writes without end': [`head -c 5000000 /dev/zero > "$SIG_PATH"; ${PRINT}`, /is larger than 4194304 bytes$/],
  } as const;
  for (const [what, [body, message]] of Object.entries(failures)) {
    it(`a script that ${what} fails the task, which says why, and nothing is half done`, async () => {
      const name = `bad/${what.replaceAll(' ', '-')}`;
      await user.image(name, 'one', IMAGE);
      await user.image(name, 'two', OTHER);
      const bad = await signingServiceOf(app, key, what.replaceAll(' ', '-'), unless(body));
      const repository = await repositoryOf(app, name);
      const task = await app.run(`${repository.pulp_href}sign/`, { manifest_signing_service: bad });
      assert.equal(task.state, 'failed');
      assert.match(task.error.description, new RegExp(`could not sign ${registry()}/${name}:(one|two) \\(sha256:`));
      assert.match(task.error.description, message);
      assert.equal(await latest(name), repository.latest_version_href);
      assert.deepEqual(task.created_resources, []);
      assert.deepEqual(readdirSync(join(app.services.config.DATA_DIR, 'work')), []);
    });
  }

  it('a signature of something else is refused', async () => {
    const name = 'bad/other-manifest';
    await user.image(name, 'one', IMAGE);
    const other = standaloneSign(key).replace('"$1"', '"$1.other"');
    const bad = await signingServiceOf(app, key, 'other', unless(`echo '{"schemaVersion": 2}' > "$1.other"; ${other}`));
    const { pulp_href } = await repositoryOf(app, name);
    const task = await app.run(`${pulp_href}sign/`, { manifest_signing_service: bad });
    assert.equal(task.state, 'failed');
    assert.match(task.error.description, new RegExp(`A signature is of sha256:[0-9a-f]{64} and not of ${IMAGE.digest}`));
  });

  it('a script that hangs is ended with the task, and so is what it has started', async () => {
    const name = 'bad/hangs';
    await user.image(name, 'one', IMAGE);
    const file = join(key.home, 'pid');
    const hanging = await signingServiceOf(app, key, 'hangs', unless(`sh -c 'echo $$ > "${file}"; sleep 600' & wait`));
    const { pulp_href, latest_version_href } = await repositoryOf(app, name);
    const dispatched = await app.request('POST', `${pulp_href}sign/`, { manifest_signing_service: hanging });
    const pid = await eventually('the script to run', async () =>
      existsSync(file) ? readFileSync(file, 'utf8').trim() || undefined : undefined,
    );
    await app.request('PATCH', dispatched.body.task, { state: 'canceled' });
    assert.equal((await app.finished(dispatched)).state, 'canceled');
    await eventually('the script to end', async () => (existsSync(`/proc/${pid}`) ? undefined : true));
    assert.equal(await latest(name), latest_version_href);
  });
});
