import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { digestOf } from '../container/push-rig.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { simpleImage } from '../support/images.ts';
import { HOSTILE_QUERY } from './hostile-values.ts';
import { type Try, wrongOf } from './hostile-world.ts';

const AUTHORIZATION = `Basic ${Buffer.from('admin:password').toString('base64')}`;
const NAME = 'hostile/app';
const IMAGE = simpleImage('hostile');
const DIGEST = digestOf(Buffer.alloc(0));
const PATIENCE_MS = 20_000;

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false, env: { PULP_TOKEN_AUTH_DISABLED: 'true', DECKLE_UPLOADS_PER_USER: '100000' } });
});
afterEach(() => assert.deepEqual(app.faults(), []));
after(() => app?.stop());

interface Asked {
  readonly body?: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
}

const ask = (method: string, path: string, { body, headers = {} }: Asked = {}): Promise<Response> =>
  fetch(`${app.url}${path}`, {
    method,
    redirect: 'manual',
    headers: { authorization: AUTHORIZATION, ...headers },
    signal: AbortSignal.timeout(PATIENCE_MS),
    ...(body === undefined ? {} : { body: body as never }),
  });

const begin = async (): Promise<string> => (await ask('POST', `/v2/${NAME}/blobs/uploads/`)).headers.get('location') as string;

/** What is wrong with the answer: a fault of the server, or an error in another shape than that of the OCI distribution-spec. */
async function complaint(method: string, path: string, asked: Asked): Promise<string | undefined> {
  const response = await ask(method, path, asked);
  const text = await response.text();
  if (response.status < 300) return undefined;
  const said = `${response.status} ${text.slice(0, 200)}`;
  if (response.status >= 500 || response.status === 401) return said;
  const { errors } = JSON.parse(text) as { errors: unknown };
  const isShape =
    Array.isArray(errors) && errors.length === 1 && /^[A-Z_]+$/.test(errors[0].code) && errors[0].message.length > 0;
  return isShape ? undefined : `in another shape: ${said}`;
}

/** A path of each write route, an upload being a new one. */
const ROUTES: readonly (readonly [method: string, path: () => Promise<string> | string])[] = [
  ['POST', () => `/v2/${NAME}/blobs/uploads/`],
  ['PATCH', begin],
  ['PUT', async () => `${await begin()}?digest=${DIGEST}`],
  ['GET', begin],
  ['DELETE', begin],
  ['PUT', () => `/v2/${NAME}/manifests/latest`],
  ['PUT', () => `/v2/${NAME}/manifests/${IMAGE.digest}`],
  ['DELETE', () => `/v2/${NAME}/manifests/latest`],
  ['DELETE', () => `/v2/${NAME}/manifests/${IMAGE.digest}`],
  ['DELETE', () => `/v2/${NAME}/blobs/${DIGEST}`],
];

const hasBody = (method: string): boolean => method !== 'GET' && method !== 'DELETE';

const HEADERS: readonly Readonly<Record<string, string>>[] = [
  ...[
    '',
    ' ',
    '-',
    '0-',
    '-0',
    '0-0-0',
    'bytes',
    'bytes */*',
    '9'.repeat(5000),
    '0-9'.repeat(1000),
    '\u00e9',
    '-1--1',
    '1e3-1e4',
    '0x0-0x9',
    ',',
    '0-0,0-0',
  ].map((value) => ({ 'content-range': value })),
  ...[
    '',
    ';',
    'a/b;c',
    'a/b; charset=\u00ff',
    `application/${'a'.repeat(5000)}`,
    'application/vnd.oci.image.manifest.v1+json;;;',
    'multipart/form-data',
    '*/*',
    'a',
    '/',
  ].map((value) => ({ 'content-type': value })),
  { range: 'bytes=0-' },
  { 'if-match': '*' },
  { 'content-encoding': 'gzip' },
  { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'x', forwarded: 'host=evil' },
  { 'x-http-method-override': 'DELETE' },
  { 'correlation-id': '\u00e9'.repeat(500) },
  { 'docker-upload-uuid': '../../x' },
];

const BODIES: readonly (Buffer | string)[] = [
  '',
  '{',
  '[]',
  'null',
  '\0',
  '{"schemaVersion": 2, "__proto__": []}',
  `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"${DIGEST}","size":1e400}]}`,
  '{"schemaVersion":2,"mediaType":{"a":1},"config":[]}',
  '{"schemaVersion":2,"manifests":{"length":4294967295}}',
  '['.repeat(50_000),
  '"'.repeat(50_000),
  '\\'.repeat(50_000),
  randomBytes(100_000),
  Buffer.alloc(100_000),
];

const QUERIES = [
  ...HOSTILE_QUERY.flatMap((value) =>
    ['digest', 'mount', 'from', 'tag', 'n', 'last', 'digest-algorithm'].map((name) => `${name}=${value}`),
  ),
  `mount=${DIGEST}&from=..%2F..%2Fetc`,
  `mount=${DIGEST}&from=${'a'.repeat(5000)}`,
  `mount=${DIGEST}&from=${NAME}`,
  `digest=${DIGEST}&digest=${DIGEST}`,
  'digest[]=x&digest.x=y',
  '&&&===',
  `${'tag=a&'.repeat(200)}`,
];

const PARTS = [
  '%00',
  '%ED%A0%80',
  '%zz',
  '..%2f..',
  '%2e%2e',
  '__proto__',
  'constructor',
  '0'.repeat(600),
  '%F0%9F%A6%80',
  '%20',
  ':',
  '@',
  '%25',
  'sha256:',
  `sha256:${'g'.repeat(64)}`,
];

describe('every way to push', () => {
  it('takes any header and body, or refuses it in the shape of the specification', async () => {
    const tries = ROUTES.flatMap(([method, path]): Try[] => [
      ...HEADERS.map((headers) => ({
        what: `${method} ${JSON.stringify(headers).slice(0, 80)}`,
        run: async () => complaint(method, await path(), { headers, ...(hasBody(method) ? { body: 'x' } : {}) }),
      })),
      ...(hasBody(method) ? BODIES : []).map((body) => ({
        what: `${method} ${String(body).slice(0, 40)}`,
        run: async () => complaint(method, await path(), { body, headers: { 'content-type': IMAGE.mediaType } }),
      })),
    ]);
    assert.ok(tries.length > 300, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });

  it('takes any query', async () => {
    const tries = ROUTES.flatMap(([method, path]): Try[] =>
      QUERIES.map((query) => ({
        what: `${method} ?${query.slice(0, 60)}`,
        run: async () => {
          const [bare] = (await path()).split('?');
          return complaint(method, `${bare}?${query}`, hasBody(method) ? { body: 'x' } : {});
        },
      })),
    );
    assert.ok(tries.length > 500, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });

  it('answers any path in order', async () => {
    const tries = PARTS.flatMap((part) =>
      [
        `/v2/${part}/blobs/uploads/`,
        `/v2/${NAME}/blobs/uploads/${part}`,
        `/v2/${NAME}/manifests/${part}`,
        `/v2/${NAME}/blobs/${part}`,
        `/v2/${part}`,
        `/v2/a/${part}/b/manifests/c`,
      ].flatMap((path) =>
        ['POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'HEAD'].map((method) => ({
          what: `${method} ${path.slice(0, 60)}`,
          run: async () => {
            const response = await ask(
              method,
              path,
              method === 'GET' || method === 'HEAD' || method === 'DELETE' ? {} : { body: 'x' },
            );
            await response.arrayBuffer();
            const inOrder = [201, 202].includes(response.status) || (response.status >= 400 && response.status < 500);
            return inOrder ? undefined : `${response.status}`;
          },
        })),
      ),
    );
    assert.ok(tries.length > 400, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });

  it('ends where a request is framed in no way, or in two', async () => {
    const typed = (head: readonly string[], body: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(app.url);
        const socket = connect(Number(port), hostname);
        const lines = [...head, 'Host: x', `Authorization: ${AUTHORIZATION}`, 'Connection: close'];
        let answer = '';
        socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer')));
        socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
        socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
        socket.on('close', () => resolve(answer.split('\r\n')[0] as string));
        socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
      });
    const put = `PUT /v2/${NAME}/manifests/latest HTTP/1.1`;
    for (const [headers, body] of [
      [['Content-Length: 3', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
      [['Content-Length: 3', 'Content-Length: 4'], 'abcd'],
      [['Content-Length: -1'], ''],
      [['Content-Length: 1e3'], ''],
      [['Content-Length: 99999999999999999999999'], ''],
      [['Transfer-Encoding: chunked'], 'zz\r\nabc\r\n0\r\n\r\n'],
      [['Transfer-Encoding: chunked'], 'ffffffffffffffffff\r\nabc'],
      [['Transfer-Encoding: x'], 'abc'],
    ] as const)
      assert.match(await typed([put, ...headers], body), /^HTTP\/1\.1 4\d\d /, headers.join());
  });
});
