import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { type ImageContent, imageOf, indexOf } from '../../src/demo/image.ts';
import { largeLayer, layerOf } from '../../src/demo/layer.ts';
import { selfListingIndex } from '../support/images.ts';
import { missing } from '../support/missing.ts';
import { type KeyPair, type TestCertificates, testCertificates } from '../support/upstream-certificates.ts';
import { FAULTS, type FaultRule } from '../support/upstream-faults.ts';
import { closedUrl, startUpstream } from '../support/upstream-registry.ts';
import { type Mirror, requestsOf, startMirror, type Task } from './mirror.ts';

let mirror: Mirror;
before(async () => {
  mirror = await startMirror({ WORKERS: '1' });
});
afterEach(() => mirror.upstream.clearFaults());
after(() => mirror?.stop());

/** Failed with that description, and nothing of it is to be seen. */
async function assertFailed(repository: string, task: Task, description: string): Promise<void> {
  assert.equal(task.state, 'failed');
  assert.ok(task.error?.description.includes(description), task.error?.description);
  assert.deepEqual(task.created_resources, []);
  assert.ok(task.progress_reports.every(({ state }) => state !== 'running'));
  assert.deepEqual(await mirror.versions(repository), [0]);
  assert.deepEqual(await mirror.temporaryFiles(), []);
}

/** What the rules of faults are about. */
interface Content {
  readonly tags: Readonly<Record<string, ImageContent>>;
  /** Digests of the image with the tag `v1`. */
  readonly config: string;
  readonly small: string;
  readonly large: string;
  readonly child: string;
  readonly multi: string;
  readonly blobs: readonly string[];
}

function contentOf(name: string): Content {
  const large = largeLayer(name, 600_000);
  const v1 = imageOf({ layers: [layerOf({ 'etc/own': name }), large] });
  const child = imageOf({ layers: [layerOf({ 'etc/child': name })], architecture: 'arm64' });
  const tags = { v1, multi: indexOf({ entries: [{ content: child }] }), v2: imageOf({ layers: [layerOf({ 'etc/v2': name })] }) };
  const [config = '', small = ''] = v1.blobs.map(({ digest }) => digest);
  const blobs = [v1, child, tags.v2].flatMap((image) => image.blobs.map(({ digest }) => digest));
  return { tags, config, small, large: large.digest, child: child.digest, multi: tags.multi.digest, blobs };
}

interface Row {
  readonly rule: (content: Content) => FaultRule;
  /** Of the task; `{…}` stands for the digest of that name. */
  readonly description: string;
  /** How often the upstream was asked for what it did not give, of a remote with one retry. */
  readonly tries: number;
}

const tags = (fault: FaultRule['fault']) => (): FaultRule => ({ kind: 'tags', fault });
const manifest = (fault: FaultRule['fault']) => (): FaultRule => ({ kind: 'manifest', reference: 'v1', fault });
const blob =
  (which: 'config' | 'small' | 'large', fault: FaultRule['fault']) =>
  (content: Content): FaultRule => ({ kind: 'blob', reference: content[which], fault });

const NEVER = new Promise(() => undefined);
const TAGS = "url='URL/v2/NAME/tags/list'";
const IN_TAG = 'tag "v1" of NAME at URL';

const rows: Readonly<Record<string, Row>> = {
  '401 for the tags, and no challenge': {
    rule: tags(FAULTS.status(401)),
    description: `401, message='Unauthorized', ${TAGS}`,
    tries: 1,
  },
  '403 for the tags': { rule: tags(FAULTS.status(403)), description: `403, message='Forbidden', ${TAGS}`, tries: 1 },
  '404 for the tags': { rule: tags(FAULTS.status(404)), description: `404, message='Not Found', ${TAGS}`, tries: 1 },
  '429 for the tags': { rule: tags(FAULTS.tooMany(0)), description: `429, message='Too Many Requests', ${TAGS}`, tries: 2 },
  '500 for the tags': { rule: tags(FAULTS.status(500)), description: `500, message='Internal Server Error', ${TAGS}`, tries: 2 },
  '502 for a manifest': {
    rule: manifest(FAULTS.status(502)),
    description: `502, message='Bad Gateway', url='URL/v2/NAME/manifests/v1' (${IN_TAG})`,
    tries: 2,
  },
  '503 for a blob': {
    rule: blob('small', FAULTS.status(503)),
    description: `503, message='Service Unavailable', url='URL/v2/NAME/blobs/{small}' (${IN_TAG})`,
    tries: 2,
  },
  '404 for a child': {
    rule: ({ child }) => ({ kind: 'manifest', reference: child, fault: FAULTS.status(404) }),
    description: `404, message='Not Found', url='URL/v2/NAME/manifests/{child}' (manifest {child} of index {multi}, in tag "multi" of NAME at URL)`,
    tries: 1,
  },
  'a connection that is dropped': { rule: tags(FAULTS.drop), description: 'URL/v2/NAME/tags/list', tries: 2 },
  'no answer': { rule: tags(FAULTS.held(NEVER)), description: 'URL/v2/NAME/tags/list', tries: 2 },
  'a blob that stops': { rule: blob('large', FAULTS.idleBody(1_000)), description: 'URL/v2/NAME/blobs/{large}', tries: 2 },
  'a small blob cut off': { rule: blob('small', FAULTS.cutOff(20)), description: 'URL/v2/NAME/blobs/{small}', tries: 2 },
  'a large blob cut off': {
    rule: blob('large', FAULTS.cutOff(100_000, true)),
    description: 'URL/v2/NAME/blobs/{large}',
    tries: 2,
  },
  'a manifest cut off': { rule: manifest(FAULTS.cutOff(20)), description: 'URL/v2/NAME/manifests/v1', tries: 2 },
  'a manifest of a wrong digest': {
    rule: manifest(FAULTS.wrongDigest),
    description: `[PLP0003] A file located at the url URL/v2/NAME/manifests/v1 failed validation due to checksum.`,
    tries: 2,
  },
  'a config of a wrong digest': { rule: blob('config', FAULTS.wrongDigest), description: '[PLP0003]', tries: 2 },
  'a small blob of a wrong digest': {
    rule: blob('small', FAULTS.wrongDigest),
    description: '[PLP0003] A file located at the url URL/v2/NAME/blobs/{small} failed validation due to checksum.',
    tries: 2,
  },
  'a large blob of a wrong digest': { rule: blob('large', FAULTS.wrongDigest), description: '[PLP0003]', tries: 2 },
  'a blob that is too long': { rule: blob('small', FAULTS.wrongLength(10)), description: 'blobs/{small}', tries: 2 },
  'a blob that is too short': { rule: blob('large', FAULTS.wrongLength(-10)), description: 'blobs/{large}', tries: 2 },
  'HTML for the tags': { rule: tags(FAULTS.html), description: 'URL/v2/NAME/tags/list', tries: 1 },
  'HTML for a manifest': { rule: manifest(FAULTS.html), description: IN_TAG, tries: 1 },
  'half a JSON': { rule: tags(FAULTS.garbage), description: 'URL/v2/NAME/tags/list', tries: 1 },
  'a manifest of 100 MB': { rule: manifest(FAULTS.hugeManifest()), description: 'URL/v2/NAME/manifests/v1', tries: 1 },
  'a manifest of 100 MB that does not say so': {
    rule: manifest(FAULTS.hugeManifest(100_000_000, true)),
    description: 'URL/v2/NAME/manifests/v1',
    tries: 1,
  },
  'a bomb of gzip': { rule: tags(FAULTS.gzipBomb), description: 'URL/v2/NAME/tags/list', tries: 1 },
  'a bomb of headers': { rule: tags(FAULTS.headerBomb), description: 'URL/v2/NAME/tags/list', tries: 1 },
  'a page of tags that leads to itself': {
    rule: tags(FAULTS.endlessPages(true)),
    description: 'URL/v2/NAME/tags/list',
    tries: 2,
  },
  'pages of tags without end': { rule: tags(FAULTS.endlessPages()), description: 'URL/v2/NAME/tags/list', tries: 10_000 },
  'a page of tags on another host': {
    rule: tags(FAULTS.linkTo('http://192.0.2.1/v2/x/tags/list')),
    description: 'another host',
    tries: 1,
  },
  'a redirect to another host inside': {
    rule: blob('small', FAULTS.redirectTo('http://169.254.169.254')),
    description: 'Refused to connect to 169.254.169.254:80',
    tries: 1,
  },
  'redirects in a circle': {
    rule: blob('small', FAULTS.redirectLoop),
    description: 'URL/v2/NAME/blobs/{small} redirects more than 5 times',
    tries: 6,
  },
};

describe('an upstream that answers with', () => {
  for (const [n, [what, { rule, description, tries }]] of Object.entries(rows).entries()) {
    test(`${what}: the sync fails and says so, and the next one goes on`, async () => {
      const name = `bad/upstream-${n}`;
      const content = contentOf(name);
      for (const [tag, image] of Object.entries(content.tags)) mirror.upstream.put(name, image, tag);
      const fault = mirror.upstream.fault({ ...rule(content), repository: name });
      const repository = await mirror.repository();
      const remote = await mirror.remote(name, { max_retries: 1, sock_read_timeout: 0.5 });

      const first = await mirror.sync(repository, remote);
      const expected = description
        .replaceAll('URL', mirror.upstream.url)
        .replaceAll('NAME', name)
        .replace(/\{(\w+)\}/g, (_, which: 'small') => content[which]);
      await assertFailed(repository, first, expected);
      assert.equal(fault.hits, tries);

      fault.clear();
      const stored = await mirror.stored(content.blobs);
      const asked = requestsOf(mirror.upstream, name)['GET blob'] ?? 0;
      await mirror.synced(repository, remote);
      assert.equal(
        (requestsOf(mirror.upstream, name)['GET blob'] ?? 0) - asked,
        content.blobs.length - stored,
        'it asks for what is missing alone',
      );
      await mirror.pullAll(repository, content.tags);
    });
  }
});

describe('an upstream that cannot be reached', () => {
  const refusals: [string, () => Promise<string>, string][] = [
    ['at a port where nobody listens', closedUrl, 'Cannot connect to host 127.0.0.1:PORT'],
    ['under a name that nobody has', async () => 'http://registry.invalid', 'Cannot connect to host registry.invalid:80'],
  ];
  for (const [where, url, description] of refusals) {
    test(`${where}: the sync fails and says so`, async () => {
      const repository = await mirror.repository();
      const at = await url();
      const task = await mirror.sync(repository, await mirror.remote('nobody', { url: at, max_retries: 1 }));
      await assertFailed(repository, task, description.replace('PORT', new URL(at).port));
    });
  }

  const certificates: [string, (made: TestCertificates) => KeyPair, string | undefined, string][] = [
    ['of an unknown authority', ({ server }) => server, undefined, 'certificate'],
    ['that has expired', ({ expired }) => expired, 'ca', 'expired'],
    ['of another host', ({ wrongHost }) => wrongHost, 'ca', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ];
  for (const [what, keys, ca, description] of certificates) {
    test(`behind a certificate ${what}: the sync fails and says so`, { skip: missing('openssl') }, async () => {
      const made = testCertificates();
      const upstream = await startUpstream({ tls: keys(made) });
      const repository = await mirror.repository();
      const remote = await mirror.remote('tls', { url: upstream.url, ...(ca ? { ca_cert: made.ca } : {}) });
      const task = await mirror.sync(repository, remote);
      await upstream.stop();
      await assertFailed(repository, task, description);
      assert.equal(upstream.requests.total, 0);
    });
  }

  test('without the right password: the sync fails and does not tell it; with it, it works', async () => {
    const upstream = await startUpstream({ auth: { scheme: 'basic', username: 'reader', password: 'right-one' } });
    upstream.put('private', imageOf(), 'v1');
    const repository = await mirror.repository();
    const remote = await mirror.remote('private', { url: upstream.url, username: 'reader', password: 'wrong-one' });
    const task = await mirror.sync(repository, remote);
    await assertFailed(repository, task, `401, message='Unauthorized', url='${upstream.url}/v2/private/tags/list'`);
    assert.ok(!JSON.stringify(task).includes('wrong-one'));
    const { body } = await mirror.installation.request('PATCH', remote, { password: 'right-one' });
    assert.equal((await mirror.ended((body as { task: string }).task)).state, 'completed');
    await mirror.synced(repository, remote);
    await mirror.pullAll(repository, { v1: imageOf() });
    await upstream.stop();
  });
});

test('an index that contains itself: the sync fails and names it', async () => {
  const index = selfListingIndex();
  mirror.upstream.put('bad/self', index, 'v1');
  mirror.upstream.put('bad/self', imageOf(), 'v2');
  const repository = await mirror.repository();
  const remote = await mirror.remote('bad/self');
  await assertFailed(repository, await mirror.sync(repository, remote), `tag "v1" of bad/self at ${mirror.upstream.url}`);
  mirror.upstream.removeTag('bad/self', 'v1');
  await mirror.synced(repository, remote);
  await mirror.pullAll(repository, { v2: imageOf() });
});
