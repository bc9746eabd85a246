import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startApp, type TestApp } from '../support/app.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
const REMOTES = `${API}remotes/container/container/`;

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false });
});
after(() => app?.stop());

/** A request as it is typed, for what `fetch` would tidy up. Answers the status line. */
const typed = (lines: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(app.url);
    const socket = connect(Number(port), hostname, () =>
      socket.write(`${lines.join('\r\n')}\r\nHost: x\r\nConnection: close\r\n\r\n`),
    );
    let answer = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer.split('\r\n')[0] ?? ''));
  });

/** Posts a body whose length is said, or in chunks; reads what is answered until the server has nothing more to say. */
const posted = (path: string, type: string, text: string, said: boolean): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(app.url);
    const socket = connect(Number(port), hostname);
    const length = said ? `Content-Length: ${text.length}` : 'Transfer-Encoding: chunked';
    const authorization = `Basic ${Buffer.from('admin:password').toString('base64')}`;
    const head = [
      `POST ${path} HTTP/1.1`,
      'Host: x',
      'Connection: close',
      `Authorization: ${authorization}`,
      `Content-Type: ${type}`,
      length,
    ];
    let answer = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    // The server may hang up on what is still being sent, once it has answered.
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
    socket.on('close', () => resolve(answer));
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.write(said ? text : `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`);
  });

describe('requests that mean no good', () => {
  it('with a body that is too large are refused', async () => {
    const { status, body } = await app.request('POST', REPOSITORIES, { name: 'x', description: 'a'.repeat(3 * 1024 * 1024) });
    assert.equal(status, 413);
    assert.equal(typeof body.detail, 'string');
  });

  it('with too many headers are refused', async () => {
    assert.match(
      await typed([`GET ${REPOSITORIES} HTTP/1.1`, ...Array.from({ length: 2000 }, (_, n) => `X-Bomb-${n}: ${'a'.repeat(64)}`)]),
      /^HTTP\/1\.1 431 /,
    );
  });

  for (const [what, type, before, after] of [
    ['JSON', 'application/json', '{"name": "', '"}'],
    ['a form', 'application/x-www-form-urlencoded', 'name=', ''],
    [
      'a form in parts',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n',
      '\r\n--x--\r\n',
    ],
    [
      'a form of many parts',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'.repeat(200_000),
      '--x--\r\n',
    ],
  ] as const) {
    it(`with 10 MB of ${what} are refused, whether their length is said or not`, async () => {
      const text = before + 'a'.repeat(Math.max(0, 10 * 1024 * 1024 - before.length)) + after;
      for (const said of [true, false]) {
        const answer = await posted(REPOSITORIES, type, text, said);
        assert.match(answer, /^HTTP\/1\.1 413 [\s\S]*"detail":"Request body is too large\."/);
      }
      assert.equal((await app.request('GET', REPOSITORIES)).body.count, 0);
    });
  }

  for (const path of [
    '/pulp/api/v3/../../../etc/passwd',
    '/pulp/container/../../../../etc/passwd',
    '/v2/../../etc/passwd/manifests/latest',
    '/v2/a/blobs/sha256:../../etc/passwd',
    '/pulp/content/..%2f..%2f..%2fetc/passwd',
    `/v2/a/manifests/${'%2e%2e%2f'.repeat(20)}etc`,
  ]) {
    it(`for ${path.slice(0, 50)} find nothing`, async () => {
      assert.match(await typed([`GET ${path} HTTP/1.1`]), /^HTTP\/1\.1 (400|401|404) /);
    });
  }

  for (const query of [
    'name=%00',
    'name__regex=%5B',
    'name__regex=(a%2B)%2B%24',
    `q=${'('.repeat(5000)}`,
    `q=${'NOT%20'.repeat(2000)}name%3Dx`,
    'retain_repo_versions=99999999999999999999',
    'offset=99999999999999999999',
    'pulp_id__in=x',
    'limit=1&limit=x',
    'remote=%27',
    'ordering=name;drop',
    'pulp_label_select=%27%27%3D',
    'name=%ED%A0%80',
    '__proto__=1',
    'constructor=x',
  ]) {
    it(`with the query ${query.slice(0, 40)} are answered in order`, async () => {
      const { status, body } = await app.request('GET', `${REPOSITORIES}?${query}`);
      assert.ok(status === 200 || (status >= 400 && status < 500), `${status} ${JSON.stringify(body)}`);
    });
  }

  for (const [what, body] of [
    ['NUL in a name', { name: 'a\0b' }],
    ['half a surrogate', { name: '\ud800' }],
    ['a huge number', { name: 'x', retain_repo_versions: 1e300 }],
    ['an object for a name', { name: { a: 1 } }],
    ['labels of lists', { name: 'x', pulp_labels: { a: [1] } }],
    ['a list of labels', { name: 'x', pulp_labels: ['a'] }],
    ['a prototype', JSON.parse('{"name": "x", "__proto__": {"a": 1}}')],
    ['numbers for references', { name: 'x', remote: 7 }],
  ] as const) {
    it(`with ${what} are refused, and store nothing`, async () => {
      const { status } = await app.request('POST', REPOSITORIES, body);
      assert.equal(status, 400);
      assert.equal((await app.request('GET', REPOSITORIES)).body.count, 0);
    });
  }

  for (const [what, body] of [
    ['a digest that is none', { includes: ['sha256:../../etc/passwd'] }],
    ['a URL that is none', { url: 'not a url' }],
    ['another scheme', { url: 'ftp://h/x' }],
    ['a file', { url: 'file:///etc/passwd' }],
    ['a header that ends the line', { headers: [{ 'X-A': 'a\r\nX-B: c' }] }],
    ['an unknown field', { bogus: 1 }],
  ] as const) {
    it(`for a remote with ${what} are refused`, async () => {
      const { status } = await app.request('POST', REMOTES, {
        name: 'x',
        url: 'http://127.0.0.1:9',
        upstream_name: 'a/b',
        ...body,
      });
      assert.equal(status, 400);
      assert.equal((await app.request('GET', REMOTES)).body.count, 0);
    });
  }

  it('leave the data folder as it was', () => {
    const files = readdirSync(app.services.config.DATA_DIR, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    assert.deepEqual(
      files.map(({ name }) => name).filter((name) => !name.endsWith('.key') && !name.endsWith('.pem')),
      [],
    );
  });
});

describe('old names of fields', () => {
  it('of remotes are understood', async () => {
    const { status, body } = await app.request('POST', REMOTES, {
      name: 'old',
      url: 'http://127.0.0.1:9',
      upstream_name: 'a/b',
      ssl_validation: 'false',
      ssl_client_key: 'k',
      whitelist_tags: ['v1', 'v2'],
      exclude_tags: ['v2'],
    });
    assert.equal(status, 201, JSON.stringify(body));
    assert.deepEqual([body.tls_validation, body.includes, body.excludes], [false, ['v1', 'v2'], ['v2']]);
    assert.ok(body.hidden_fields.some((field: { name: string; is_set: boolean }) => field.name === 'client_key' && field.is_set));
    await app.finished(await app.request('PATCH', body.pulp_href, { include_tags: ['v3'] }));
    assert.deepEqual((await app.request('GET', body.pulp_href)).body.includes, ['v1', 'v2', 'v3']);
    const unknown = await app.request('POST', REMOTES, {
      name: 'new',
      url: 'http://127.0.0.1:9',
      upstream_name: 'a/b',
      ssl_verification: true,
    });
    assert.equal(unknown.body.ssl_verification[0], 'Unexpected field');
    assert.match(unknown.body.ssl_verification[1], /ssl_validation \(tls_validation\)/);
  });

  it('the short path to versions still leads there', async () => {
    const { body } = await app.request('POST', REPOSITORIES, { name: 'short' });
    const id = body.pulp_href.split('/').at(-2);
    const versions = await app.request('GET', `${API}repositories/container/${id}/versions/`);
    assert.deepEqual([versions.status, versions.body.count], [200, 1]);
  });

  it('a path without its slash is sent on, with its method', async () => {
    const get = await app.request('GET', REPOSITORIES.slice(0, -1));
    assert.deepEqual([get.status, get.headers.get('location')], [301, REPOSITORIES]);
    const post = await app.request('POST', REPOSITORIES.slice(0, -1), { name: 'x' });
    assert.deepEqual([post.status, post.headers.get('location')], [308, REPOSITORIES]);
  });
});
