import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startApp, type TestApp } from '../support/app.ts';

const API = '/pulp/api/v3/';
const REPOSITORIES = `${API}repositories/container/container/`;
/** More than a pattern may take, and time to say so on a busy machine. */
const PATIENCE_MS = 20_000;

let app: TestApp;
before(async () => {
  app = await startApp({ worker: false });
  for (let n = 0; n < 20; n += 1) {
    const answer = await app.request('POST', REPOSITORIES, { name: `${'a'.repeat(1501)}${n}!` });
    assert.equal(answer.status, 201);
  }
});
after(() => app?.stop());

const PATTERNS = [
  '(a+)+$',
  '(a|aa)+$',
  '^(a*)*b\\1$',
  '(.*)\\1\\1\\1x',
  '((a{1,100}){1,100}){1,50}$',
  '(a?){200}a{200}',
  '[',
  '(',
  '*',
  '\\',
  '(?<=a)b',
];

/** An odd number of letters is no repetition: to find that out, every way to cut the name has to be tried. */
const SLOW = '^(a*)(a*)(a*)(a*)\\1\\2\\3\\4\\d+!$';

describe('patterns of filters', () => {
  it('of every resource are answered in time, whatever they are', async () => {
    const { body: document } = await app.request('GET', `${API}docs/api.json?pk_path=1`);
    type Listed = Record<string, { parameters?: { name: string }[] }>;
    const filters = Object.entries(document.paths as Record<string, Listed>).flatMap(([path, { get }]) =>
      path.includes('{')
        ? []
        : (get?.parameters ?? []).filter(({ name }) => /regex$/.test(name)).map(({ name }) => `${path}?${name}=`),
    );
    assert.ok(filters.length >= 10, filters.join());
    const asked = [
      ...filters.map((filter, n) => filter + encodeURIComponent(PATTERNS[n % PATTERNS.length] as string)),
      ...PATTERNS.map((pattern) => `${REPOSITORIES}?name__regex=${encodeURIComponent(pattern)}`),
      ...PATTERNS.map((pattern) => `${REPOSITORIES}?q=${encodeURIComponent(`name__iregex="${pattern}"`)}`),
    ];
    for (const path of asked) {
      const begin = Date.now();
      const { status, body } = await app.request('GET', path);
      assert.ok([200, 400].includes(status), `${path}: ${status} ${JSON.stringify(body)}`);
      assert.ok(Date.now() - begin < PATIENCE_MS, path);
    }
  });

  it('hold up nobody else, 20 at once', async () => {
    const pattern = encodeURIComponent(SLOW);
    let over = 0;
    const slow = Array.from({ length: 20 }, async () => {
      const { status, body } = await app.request('GET', `${REPOSITORIES}?name__regex=${pattern}`);
      over += 1;
      return { status, body };
    });
    const others: number[] = [];
    while (over < 20 && others.length < 200) {
      const begin = Date.now();
      assert.equal((await app.request('GET', `${REPOSITORIES}?limit=1`)).status, 200);
      others.push(Date.now() - begin);
    }
    for (const { status, body } of await Promise.all(slow))
      assert.ok([400, 429].includes(status), `${status} ${JSON.stringify(body)}`);
    assert.ok(Math.max(...others) < 2000, `another request took ${Math.max(...others)} ms`);
  });
});
