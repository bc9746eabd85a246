import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { HOSTILE_QUERY } from './hostile-values.ts';
import { complaint, type HostileWorld, openHostileWorld, wrongOf } from './hostile-world.ts';

/** Of the hostile values, so many are tried on each parameter, on each the next ones. */
const VALUES_EACH = 4;
const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const PARTS = 'multipart/form-data; boundary=x';

const BODIES: readonly [what: string, type: string, text: string][] = [
  ['no JSON', JSON_TYPE, '{'],
  ['a list', JSON_TYPE, '[1]'],
  ['a number', JSON_TYPE, '1e400'],
  ['text', JSON_TYPE, '"a"'],
  ['lists of 100,000 levels', JSON_TYPE, `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ['objects of 100,000 levels', JSON_TYPE, `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
  ['10,000 fields', JSON_TYPE, `{${Array.from({ length: 10_000 }, (_, n) => `"f${n}":1`).join()}}`],
  ['another encoding', 'application/json; charset=utf-16', '{}'],
  ['a form of nothing', FORM, '=&=&&'],
  ['a form in no encoding', FORM, 'name=%ff%fe&%00=%00&a[b]=c&__proto__=d'],
  ['a form without a boundary', 'multipart/form-data', '{}'],
  ['a form whose boundary does not come', PARTS, 'zzz'],
  ['a form that breaks off', PARTS, '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nabc'],
  ['a form with a file', PARTS, '--x\r\nContent-Disposition: form-data; name="name"; filename="a"\r\n\r\nabc\r\n--x--\r\n'],
  ['a part without a name', PARTS, '--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n'],
  ['XML', 'application/xml', '<a/>'],
  ['no type', '/', 'a'],
];

let world: HostileWorld;
before(async () => {
  world = await openHostileWorld();
});
after(() => world.app.stop());

describe('every operation', () => {
  it('takes any body, or refuses it in a recorded shape', async () => {
    const changing = world.targets.filter(({ method }) => method !== 'GET' && method !== 'DELETE');
    const tries = changing.flatMap(({ id, method, path }) =>
      BODIES.map(([what, type, text]) => ({
        what: `${id}: ${what}`,
        run: () => complaint(world.app, method, path, { text, type }),
      })),
    );
    assert.ok(tries.length > 1000, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });

  it('takes any parameter of a query, or refuses it in a recorded shape', async () => {
    let next = 0;
    const value = () => HOSTILE_QUERY[next++ % HOSTILE_QUERY.length] as string;
    const tries = world.targets
      .filter(({ method }) => method === 'GET')
      .flatMap(({ id, path, queryParameters }) =>
        queryParameters.flatMap((name) =>
          Array.from({ length: VALUES_EACH }, () => {
            const query = `${name}=${value()}`;
            return { what: `${id}?${query}`, run: () => complaint(world.app, 'GET', `${path}?${query}`) };
          }),
        ),
      );
    assert.ok(tries.length > 1000, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });

  it('finds nothing at a path that cannot be', async () => {
    const tries = world.targets.flatMap(({ id, method, path }) => {
      const member = /\/[0-9a-f-]{36}\/|\/\d+\//.exec(path)?.[0];
      if (member === undefined) return [];
      return ['%00', '%ED%A0%80', '99999999999999999999', '-1', '%2e%2e', '__proto__', `${'0'.repeat(400)}`, '%zz'].map(
        (part) => ({
          what: `${id}: ${part}`,
          run: () => complaint(world.app, method, path.replace(member, `/${part}/`)),
        }),
      );
    });
    assert.ok(tries.length > 1000, `${tries.length} tries`);
    assert.deepEqual(await wrongOf(tries), []);
  });
});
