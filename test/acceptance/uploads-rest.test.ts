import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type Answer, openServer, type Server, upload } from './server.ts';

const API = '/pulp/api/v3/';
const UPLOADS = `${API}uploads/`;
const ARTIFACTS = `${API}artifacts/`;
const MISSING = '01a1fdab-0000-7c60-9270-e26432bfda04';

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A new upload of so many bytes. */
async function open(size: number): Promise<string> {
  const { status, body } = await server.request('POST', UPLOADS, { size });
  assert.equal(status, 201, JSON.stringify(body));
  server.made.push(body.pulp_href);
  return body.pulp_href;
}

interface Submission {
  readonly range?: string | undefined;
  /** A text is sent as a field, bytes as a file. */
  readonly parts: readonly (readonly [name: string, value: string | Buffer])[];
}

async function put(href: string, { range, parts }: Submission): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value)]), 'chunk');
  }
  const response = await fetch(`${server.url}${href}`, {
    method: 'PUT',
    headers: {
      authorization: `Basic ${Buffer.from('admin:password').toString('base64')}`,
      ...(range === undefined ? {} : { 'content-range': range }),
    },
    body: form,
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Puts bytes at a place. */
const putAt = (href: string, bytes: Buffer, first: number, size: number): Promise<Answer> =>
  put(href, {
    range: `bytes ${first}-${first + bytes.length - 1}/${size}`,
    parts: [
      ['sha256', sha256(bytes)],
      ['file', bytes],
    ],
  });

async function putAll(href: string, size: number, chunks: readonly (readonly [first: number, bytes: Buffer])[]): Promise<void> {
  for (const [first, bytes] of chunks) {
    const { status, body } = await putAt(href, bytes, first, size);
    assert.equal(status, 200, JSON.stringify(body));
  }
}

const commit = async (href: string, digest: string) =>
  server.finished(await server.request('POST', `${href}commit/`, { sha256: digest }));

const isGone = async (href: string): Promise<void> => {
  const { status, body } = await server.request('GET', href);
  assert.deepEqual([status, body], [404, { detail: 'No Upload matches the given query.' }]);
};

describe('making an upload', () => {
  for (const [given, expected] of [
    [{}, { size: ['This field is required.'] }],
    [{ size: null }, { size: ['This field may not be null.'] }],
    [{ size: 'x' }, { size: ['A valid integer is required.'] }],
    [{ size: 1.5 }, { size: ['A valid integer is required.'] }],
    [{ size: true }, { size: ['A valid integer is required.'] }],
    [{ size: '' }, { size: ['A valid integer is required.'] }],
    [{ size: 5, foo: 1 }, { foo: ['Unexpected field'] }],
    [[], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
  ] as const) {
    it(`refuses ${JSON.stringify(given)}`, async () => {
      const { status, body } = await server.request('POST', UPLOADS, given);
      assert.deepEqual([status, body], [400, expected]);
    });
  }

  it('answers it, and takes sizes beyond 32 bits, as text too', async () => {
    const { status, body } = await server.request('POST', UPLOADS, { size: '5000000000', completed: 'x' });
    server.made.push(body.pulp_href);
    assert.equal(status, 201);
    const { pulp_href, prn, pulp_created, pulp_last_updated, ...rest } = body;
    assert.deepEqual(rest, { size: 5_000_000_000 });
    assert.match(pulp_href, /^\/pulp\/api\/v3\/uploads\/[0-9a-f-]{36}\/$/);
    assert.equal(prn, `prn:core.upload:${pulp_href.split('/').at(-2)}`);
    assert.ok(Date.parse(pulp_created) <= Date.parse(pulp_last_updated));
    assert.deepEqual((await server.request('GET', pulp_href)).body, { ...body, chunks: [] });
    assert.deepEqual((await server.request('GET', `${pulp_href}?fields=chunks,completed`)).body, { chunks: [] });
    assert.deepEqual((await server.request('GET', `${pulp_href}?exclude_fields=chunks`)).body, body);
  });
});

describe('lists of uploads', () => {
  it('are filtered by size and ordered', async () => {
    const size = 1_000_000_000 + Math.floor(Math.random() * 1_000_000_000);
    const [one, two, three] = [await open(size), await open(size + 1), await open(size + 2)];
    const listed = async (query: string): Promise<string[]> => {
      const { status, body } = await server.request('GET', `${UPLOADS}?${query}`);
      assert.equal(status, 200, JSON.stringify(body));
      return body.results.map(({ pulp_href }: { pulp_href: string }) => pulp_href);
    };
    assert.deepEqual(await listed(`size=${size}`), [one]);
    assert.deepEqual(await listed(`size__range=${size},${size + 2}`), [three, two, one]);
    assert.deepEqual(await listed(`size__range=${size},${size + 2}&ordering=size`), [one, two, three]);
    assert.deepEqual(await listed(`size__gt=${size}&size__lt=${size + 2}`), [two]);
    assert.deepEqual(await listed(`q=size=${size} OR size=${size + 2}`), [three, one]);
    assert.deepEqual(await listed(`pulp_href__in=${two}`), [two]);
  });

  for (const [query, expected] of [
    ['size=x', { size: ['Enter a number.'] }],
    ['size__range=1', { size__range: ['Range query expects two values.'] }],
    ['size__gte=1', { errors: ["Invalid Filter: 'size__gte'"] }],
    ['ordering=foo', { ordering: ['Select a valid choice. foo is not one of the available choices.'] }],
  ] as const) {
    it(`refuse ${query}`, async () => {
      const { status, body } = await server.request('GET', `${UPLOADS}?${query}`);
      assert.deepEqual([status, body], [400, expected]);
    });
  }
});

describe('a chunk', () => {
  const bytes = Buffer.from('hello');
  const good = sha256(bytes);
  const file = ['file', bytes] as const;
  const bad = (message: string) => ({ non_field_errors: [message] });
  const NO_RANGE = bad('Invalid or missing content range header.');
  const OTHER_SIZE = bad('Chunk size does not match content range.');
  const OTHER_BYTES = ['Checksum does not match chunk upload.'];
  const NO_FILE = { file: ['The submitted data was not a file. Check the encoding type on the form.'] };

  for (const [what, range, parts, expected] of [
    ['no range', undefined, [file], NO_RANGE],
    ['a range without a unit', '5-9/10', [file], NO_RANGE],
    ['a range of something else', 'items 5-9/10', [file], NO_RANGE],
    ['a range with an upper-case unit', 'Bytes 5-9/10', [file], NO_RANGE],
    ['a range without the size of the file', 'bytes 5-9', [file], NO_RANGE],
    ['a shorter range', 'bytes 5-8/10', [file], OTHER_SIZE],
    ['a longer range', 'bytes 3-9/10', [file], OTHER_SIZE],
    ['a range from back to front', 'bytes 9-5/10', [file], OTHER_SIZE],
    ['a range of the utmost', `bytes ${'9'.repeat(23)}-${'9'.repeat(23)}/*`, [file], OTHER_SIZE],
    ['a range that leads out of the file', 'bytes 6-10/10', [file], bad('End byte is greater than upload size.')],
    ['another sha256', 'bytes 5-9/10', [['sha256', sha256('x')], file], OTHER_BYTES],
    ['another sha256 after the file', 'bytes 5-9/10', [file, ['sha256', sha256('x')]], OTHER_BYTES],
    ['an upper-case sha256', 'bytes 5-9/10', [['sha256', good.toUpperCase()], file], OTHER_BYTES],
    ['a sha256 that is none', 'bytes 5-9/10', [['sha256', 'zz'], file], OTHER_BYTES],
    ['no file', 'bytes 5-9/10', [['sha256', good]], { file: ['No file was submitted.'] }],
    ['no file and no range', undefined, [['sha256', good]], { file: ['No file was submitted.'] }],
    ['a text in place of a file', 'bytes 5-9/10', [['file', 'hello']], NO_FILE],
    ['an empty file', 'bytes 5-4/10', [['file', Buffer.alloc(0)]], { file: ['The submitted file is empty.'] }],
    ['a field of no chunk', 'bytes 5-9/10', [file, ['foo', '1']], { foo: ['Unexpected field'] }],
  ] as const) {
    it(`with ${what} is refused, and leaves what was there`, async () => {
      const href = await open(10);
      const answer = await put(href, { range, parts });
      assert.deepEqual([answer.status, answer.body], [400, expected]);
      assert.deepEqual((await server.request('GET', href)).body.chunks, []);
      assert.equal((await putAt(href, bytes, 5, 10)).status, 200);
      assert.equal((await put(href, { range, parts })).status, 400);
      assert.deepEqual((await server.request('GET', href)).body.chunks, [{ offset: 5, size: 5 }]);
    });
  }

  it('is no JSON, and nothing else', async () => {
    const href = await open(10);
    const send = async (body: unknown, type = 'application/json') => {
      const answer = await server.request('PUT', href, body, { 'content-range': 'bytes 5-9/10', 'content-type': type });
      return [answer.status, answer.body];
    };
    assert.deepEqual(await send({ file: 'x' }), [400, NO_FILE]);
    assert.deepEqual(await send({}), [400, { file: ['No file was submitted.'] }]);
    assert.deepEqual(await send('file=hello', 'application/x-www-form-urlencoded'), [400, NO_FILE]);
    const octets = 'application/octet-stream';
    assert.deepEqual(await send('hello', octets), [415, { detail: `Unsupported media type "${octets}" in request.` }]);
  });

  it('answers the upload, whatever is said of the size of the file', async () => {
    const href = await open(10);
    const { status, body } = await put(href, {
      range: 'bytes 5-9/99',
      parts: [['sha256', ''], file, ['offset', '1'], ['size', '1']],
    });
    assert.equal(status, 200, JSON.stringify(body));
    const { chunks, ...answered } = (await server.request('GET', href)).body;
    assert.deepEqual(body, { ...answered, pulp_last_updated: body.pulp_last_updated });
    assert.deepEqual(chunks, [{ offset: 5, size: 5 }]);
  });

  it('needs an upload', async () => {
    const range = 'bytes 0-4/5';
    const unknown = await put(`${UPLOADS}${MISSING}/`, { range, parts: [file] });
    assert.deepEqual([unknown.status, unknown.body], [404, { detail: 'No Upload matches the given query.' }]);
    const without = await put(`${UPLOADS}${MISSING}/`, { range: undefined, parts: [['foo', '1']] });
    assert.equal(without.status, 404);
    const malformed = await put(`${UPLOADS}xyz/`, { range, parts: [file] });
    assert.deepEqual([malformed.status, malformed.body], [404, { detail: 'Not found.' }]);
  });

  it('is put, not patched or posted', async () => {
    const href = await open(10);
    for (const method of ['PATCH', 'POST']) {
      const { status, body } = await server.request(method, href, { size: 3 });
      assert.deepEqual([status, body], [405, { detail: `Method "${method}" not allowed.` }]);
    }
  });
});

describe('a commit', () => {
  it('makes an artifact of chunks that came in any order, some of them twice', async () => {
    const whole = randomBytes(300_000);
    const [a, b, c] = [whole.subarray(0, 100_000), whole.subarray(100_000, 250_000), whole.subarray(250_000)];
    const href = await open(whole.length);
    await putAll(href, whole.length, [
      [250_000, c],
      [100_000, randomBytes(20)],
      [0, a],
      [100_000, b],
      [0, a],
    ]);
    const { chunks } = (await server.request('GET', href)).body;
    assert.deepEqual(
      chunks.sort((one: { offset: number }, two: { offset: number }) => one.offset - two.offset),
      [
        { offset: 0, size: 100_000 },
        { offset: 100_000, size: 150_000 },
        { offset: 250_000, size: 50_000 },
      ],
    );
    const task = await commit(href, sha256(whole));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal(task.name, 'pulpcore.app.tasks.upload.commit');
    assert.deepEqual([task.result, task.progress_reports], [null, []]);
    assert.ok(task.reserved_resources_record.includes(`prn:core.upload:${href.split('/').at(-2)}`));
    const [artifact] = task.created_resources;
    const { body } = await server.request('GET', artifact);
    assert.deepEqual([body.pulp_href, body.sha256, body.size], [artifact, sha256(whole), whole.length]);
    assert.deepEqual(task.created_resource_prns, [body.prn]);
    await isGone(href);
    assert.equal((await server.request('POST', `${href}commit/`, { sha256: sha256(whole) })).status, 404);
    assert.equal((await putAt(href, a, 0, whole.length)).status, 404);
    assert.equal((await server.request('DELETE', href)).status, 404);
  });

  it('fails where the bytes are others, and can be repeated when they are right', async () => {
    const whole = randomBytes(20);
    const href = await open(20);
    await putAll(href, 20, [[5, whole.subarray(5)]]);
    for (const digest of ['5', sha256(whole), sha256(whole.subarray(5)).toUpperCase()]) {
      const failed = await commit(href, digest);
      assert.equal(failed.state, 'failed');
      assert.match(failed.error.description, /The sha256 checksum did not match\./);
      assert.deepEqual(failed.created_resources, []);
    }
    assert.deepEqual((await server.request('GET', href)).body.chunks, [{ offset: 5, size: 15 }]);
    assert.equal((await server.request('GET', `${ARTIFACTS}?sha256=${sha256(whole)}`)).body.count, 0);
    await putAll(href, 20, [[0, whole.subarray(0, 5)]]);
    assert.equal((await commit(href, sha256(whole))).state, 'completed');
    await isGone(href);
  });

  it('takes a file that turned out shorter than it was announced', async () => {
    const whole = randomBytes(10);
    const href = await open(20);
    await putAll(href, 20, [[0, whole]]);
    const task = await commit(href, sha256(whole));
    assert.equal(task.state, 'completed', JSON.stringify(task.error));
    assert.equal((await server.request('GET', task.created_resources[0])).body.size, 10);
  });

  it('of a file that is stored already fails, and leaves the upload', async () => {
    const whole = randomBytes(20);
    const stored = await upload(server, whole);
    assert.equal(stored.status, 201);
    const href = await open(20);
    await putAll(href, 20, [[0, whole]]);
    const task = await commit(href, sha256(whole));
    assert.equal(task.state, 'failed');
    assert.match(task.error.description, new RegExp(`Artifact with sha256 checksum of '${sha256(whole)}' already exists\\.`));
    assert.deepEqual((await server.request('GET', href)).body.chunks, [{ offset: 0, size: 20 }]);
  });

  for (const [given, expected] of [
    [{}, { sha256: ['This field is required.'] }],
    [{ sha256: '' }, { sha256: ['This field may not be blank.'] }],
    [{ sha256: null }, { sha256: ['This field may not be null.'] }],
    [{ sha256: 'a', x: 1 }, { x: ['Unexpected field'] }],
    [[], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
  ] as const) {
    it(`refuses ${JSON.stringify(given)}`, async () => {
      const href = await open(1);
      const { status, body } = await server.request('POST', `${href}commit/`, given);
      assert.deepEqual([status, body], [400, expected]);
    });
  }
});

describe('deleting', () => {
  it('an upload removes it at once', async () => {
    const href = await open(20);
    await putAll(href, 20, [[0, randomBytes(20)]]);
    const { status, body } = await server.request('DELETE', href);
    assert.deepEqual([status, body], [204, '']);
    await isGone(href);
    assert.equal((await server.request('DELETE', href)).status, 404);
  });

  it('an artifact is for nobody', async () => {
    const { body } = await upload(server, randomBytes(20));
    const { status } = await server.request('DELETE', body.pulp_href);
    assert.equal(status, 403);
  });
});

describe('content of OSTree', () => {
  it('is made of artifacts, not of uploads', async () => {
    const href = await open(10);
    const artifact = await upload(server, randomBytes(20));
    const { status, body } = await server.request('POST', `${API}content/ostree/content/`, {
      artifact: artifact.body.pulp_href,
      upload: href,
      relative_path: 'a',
      digest: sha256('a'),
    });
    assert.deepEqual([status, body], [400, { upload: ['Unexpected field'] }]);
  });
});
