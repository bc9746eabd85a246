import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { eventually } from '../../queue/eventually.ts';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';

const ARTIFACTS = '/pulp/api/v3/artifacts/';
const AUTHORIZATION = `Basic ${Buffer.from('admin:password').toString('base64')}`;

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false });
});
after(() => app?.stop());

const digest = (name: string, bytes: Buffer): string => createHash(name).update(bytes).digest('hex');

type Part = readonly [name: string, value: string | Buffer];

/** Posts a form, its parts in this order; bytes are sent as a file. */
async function upload(parts: readonly Part[], headers: Record<string, string> = {}): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value)]), 'a.bin');
  }
  const response = await fetch(`${app.url}${ARTIFACTS}`, {
    method: 'POST',
    headers: { authorization: AUTHORIZATION, ...headers },
    body: form,
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** Files below the data folder that are being written. */
const pendingFiles = async (): Promise<string[]> => {
  const folder = app.services.config.DATA_DIR;
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => /(^|\/)tmp\/[^/]+\/./.test(name)).map((name) => join(folder, name));
};

const artifactCount = async (): Promise<number> => {
  const [row] = await app.services.db.query<{ count: number }>(sql`select count(*) as count from artifact`);
  return row?.count ?? Number.NaN;
};

/** Runs what must store nothing, and looks that it has not. */
async function storesNothing(work: () => Promise<void>): Promise<void> {
  const count = await artifactCount();
  await work();
  assert.equal(await artifactCount(), count);
  await eventually('the pending files to go', async () => ((await pendingFiles()).length === 0 ? true : undefined));
}

test('a file is stored, and answered like any artifact', async () => {
  const bytes = randomBytes(70_000);
  const sha256 = digest('sha256', bytes);
  const { status, headers, body } = await upload([
    ['sha256', sha256],
    ['size', '70000'],
    ['file', bytes],
  ]);
  assert.equal(status, 201, JSON.stringify(body));
  assert.equal(headers.get('location'), body.pulp_href);
  assert.deepEqual([body.size, body.sha256, body.md5], [70_000, sha256, null]);
  assert.equal(body.file, `artifact/${sha256.slice(0, 2)}/${sha256.slice(2)}`);
  assert.deepEqual((await app.request('GET', body.pulp_href)).body, body);
  const stored = await app.services.storage.read(body.file);
  assert.deepEqual(Buffer.concat(await stored.toArray()), bytes);
  assert.deepEqual(await pendingFiles(), []);
});

test('what is said of a file may follow it', async () => {
  const bytes = randomBytes(1000);
  const { status, body } = await upload([
    ['file', bytes],
    ['sha512', digest('sha512', bytes)],
    ['sha256', digest('sha256', bytes)],
  ]);
  assert.deepEqual([status, body.sha512], [201, digest('sha512', bytes)]);
});

test('an empty file is a file', async () => {
  const { status, body } = await upload([['file', Buffer.alloc(0)]]);
  assert.deepEqual([status, body.size, body.sha256], [201, 0, digest('sha256', Buffer.alloc(0))]);
});

// As a Pulp of the same version answered.
const zeros = (length: number) => '0'.repeat(length);
const SENTENCES: readonly (readonly [what: string, parts: readonly Part[], body: unknown])[] = [
  ['no file', [['sha256', zeros(64)]], { file: ['No file was submitted.'] }],
  [
    'text in place of a file',
    [['file', 'text']],
    { file: ['The submitted data was not a file. Check the encoding type on the form.'] },
  ],
  ['another field', [['foo', 'bar']], { foo: ['Unexpected field'] }],
  ['a size that is no number', [['size', 'x']], { size: ['A valid integer is required.'] }],
  ['another size', [['size', '3']], { non_field_errors: ['The size did not match actual size of file.'] }],
  ['a broken checksum', [['md5', '00']], { non_field_errors: ["Checksum algorithms ['md5'] forbidden for this Pulp instance."] }],
  [
    'two broken checksums',
    [
      ['md5', '00'],
      ['sha1', '00'],
    ],
    { non_field_errors: ["Checksum algorithms ['sha1', 'md5'] forbidden for this Pulp instance."] },
  ],
  ['another sha224', [['sha224', '00']], { non_field_errors: ['The sha224 checksum did not match.'] }],
  ['another sha256', [['sha256', zeros(64)]], { non_field_errors: ['The sha256 checksum did not match.'] }],
  [
    'another size and another checksum',
    [
      ['size', '3'],
      ['sha256', '00'],
    ],
    { non_field_errors: ['The size did not match actual size of file.'] },
  ],
  [
    'several other checksums',
    [
      ['sha512', '00'],
      ['sha224', '00'],
      ['sha256', '00'],
    ],
    { non_field_errors: ['The sha224 checksum did not match.'] },
  ],
];

for (const [what, parts, expected] of SENTENCES) {
  test(`${what} is refused, and nothing stays`, () =>
    storesNothing(async () => {
      const hasFile = JSON.stringify(expected).includes('file":');
      const answer = await upload([...parts, ...(hasFile ? [] : [['file', randomBytes(64)] as const])]);
      assert.deepEqual([answer.status, answer.body], [400, expected]);
    }));
}

for (const [body, expected] of [
  [{ file: 'x' }, { file: ['The submitted data was not a file. Check the encoding type on the form.'] }],
  [{ file: null }, { file: ['This field may not be null.'] }],
  [{}, { file: ['No file was submitted.'] }],
  [[], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
] as const) {
  test(`JSON is no upload: ${JSON.stringify(body)}`, async () => {
    const answer = await app.request('POST', ARTIFACTS, body);
    assert.deepEqual([answer.status, answer.body], [400, expected]);
  });
}

test('the same file again is refused, also when both come at once', async () => {
  const file = ['file', randomBytes(64)] as const;
  const answers = await Promise.all([upload([file]), upload([file])]);
  const refused = answers.find(({ status }) => status === 400);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 400]);
  const said = { non_field_errors: [`Artifact with sha256 checksum of '${digest('sha256', file[1])}' already exists.`] };
  assert.deepEqual(refused?.body, said);
  assert.deepEqual((await upload([file])).body, said);
});

test('two files are one too many', () =>
  storesNothing(async () => {
    const answer = await upload([
      ['file', randomBytes(64)],
      ['file', randomBytes(64)],
    ]);
    assert.deepEqual([answer.status, answer.body], [400, { file: ['Only one file can be submitted.'] }]);
  }));

test('nobody uploads without credentials, and deleting is for nobody', () =>
  storesNothing(async () => {
    assert.equal((await upload([['file', randomBytes(64)]], { authorization: '' })).status, 401);
    const { body } = await app.request('GET', `${ARTIFACTS}?limit=1`);
    const href = body.results[0].pulp_href;
    const deletion = await app.request('DELETE', href);
    assert.deepEqual([deletion.status, deletion.body], [403, { detail: 'You do not have permission to perform this action.' }]);
    assert.equal((await app.request('GET', href)).status, 200);
  }));

/** Sends a multipart body piece by piece; `send` writes the pieces. */
function stream(
  contentType: string,
  send: (write: (text: string | Buffer) => Promise<void>, abort: () => void) => Promise<void>,
) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const outgoing = httpRequest(
      `${app.url}${ARTIFACTS}`,
      { method: 'POST', headers: { authorization: AUTHORIZATION, 'content-type': contentType } },
      async (response) => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(await response.toArray()).toString() }),
    );
    outgoing.on('error', reject);
    const write = async (piece: string | Buffer) => {
      if (!outgoing.write(piece)) await new Promise<void>((drained) => outgoing.once('drain', () => drained()));
    };
    send(write, () => outgoing.destroy()).then(() => outgoing.end(), reject);
  });
}

const FILE_PART = '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n';
const FORM = 'multipart/form-data; boundary=x';

test('a large file passes through without being held', async () => {
  const chunk = randomBytes(1024 * 1024);
  const hash = createHash('sha256');
  const most: number[] = [];
  const answer = await stream(FORM, async (write) => {
    await write(FILE_PART);
    const before = process.memoryUsage().arrayBuffers;
    for (let sent = 0; sent < 256; sent += 1) {
      chunk.writeUInt32BE(sent, 0);
      hash.update(chunk);
      await write(Buffer.from(chunk));
      most.push(process.memoryUsage().arrayBuffers - before);
    }
    await write('\r\n--x--\r\n');
  });
  assert.equal(answer.status, 201, answer.body);
  assert.equal(JSON.parse(answer.body).sha256, hash.digest('hex'));
  assert.ok(Math.max(...most) < 100 * 1024 * 1024, `${Math.max(...most)} bytes were held`);
});

test('of an upload that breaks off nothing stays', () =>
  storesNothing(async () => {
    const broken = stream(FORM, async (write, abort) => {
      await write(FILE_PART);
      await write(randomBytes(300_000));
      await eventually('the pending file', async () => ((await pendingFiles()).length > 0 ? true : undefined));
      abort();
    });
    await assert.rejects(broken);
  }));

test('of a form without an end nothing stays', () =>
  storesNothing(async () => {
    const answer = await stream(FORM, async (write) => {
      await write(`${FILE_PART}half`);
    });
    assert.equal(answer.status, 400);
    assert.match(answer.body, /^\{"detail":"Multipart form parse error - /);
  }));

for (const [what, contentType, body] of [
  ['without a boundary', 'multipart/form-data', 'x'],
  ['that is none', FORM, 'x'.repeat(1000)],
  ['with too many fields', FORM, `${'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n'.repeat(150)}--x--\r\n`],
  [
    'with a field that is too long',
    FORM,
    `--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n${'1'.repeat(100_000)}\r\n--x--\r\n`,
  ],
] as const) {
  test(`a form ${what} is refused`, () =>
    storesNothing(async () => {
      const answer = await stream(contentType, (write) => Readable.from([body]).forEach(write));
      assert.equal(answer.status, 400, answer.body);
      assert.match(answer.body, /^\{"detail":"Multipart form parse error - /);
    }));
}
