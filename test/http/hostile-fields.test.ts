import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hostileValues } from './hostile-values.ts';
import { complaint, type HostileWorld, openHostileWorld, type Target, type Try, wrongOf } from './hostile-world.ts';

/** Of operations with the same body below many resources (add_role, set_label), so many are tried. */
const SAME_BODY = 3;

let world: HostileWorld;
before(async () => {
  world = await openHostileWorld();
});
after(() => world.app.stop());

let made = 0;

/** A good body but for one field; what is made has a name of its own, as it could not be made twice. */
function bodyWith({ good, makes }: Target, field: string, json: string): string {
  made += 1;
  const own: Readonly<Record<string, string>> = { name: `made ${made}`, base_path: `made-${made}`, username: `made-${made}` };
  const fields = Object.keys(good)
    .filter((name) => name !== field)
    .map((name) => `${JSON.stringify(name)}: ${JSON.stringify((makes && own[name]) || good[name])}`);
  return `{${[...fields, `${JSON.stringify(field)}: ${json}`].join(', ')}}`;
}

const triesOn = (target: Target): Try[] =>
  [...Object.entries(target.schema?.properties ?? {}), ['__proto__', {}] as const, ['unknown', {}] as const].flatMap(
    ([field, schema]) =>
      // The name by which the test is logged in.
      target.id === 'login_update' && field === 'username'
        ? []
        : hostileValues(schema).map(({ what, json }) => ({
            what: `${target.id}: ${field}: ${what}`,
            run: () =>
              complaint(world.app, target.method, target.path, { text: bodyWith(target, field, json), type: 'application/json' }),
          })),
  );

describe('every field of every body', () => {
  for (const method of ['POST', 'PUT', 'PATCH']) {
    it(`of ${method} may have any value: it is taken, or refused in a recorded shape`, async () => {
      const seen = new Map<string, number>();
      const targets = world.targets.filter((target) => {
        if (target.method !== method || target.component === undefined) return false;
        const before = seen.get(target.component) ?? 0;
        seen.set(target.component, before + 1);
        return before < SAME_BODY;
      });
      assert.ok(targets.length >= 10, `${targets.length} operations`);
      assert.deepEqual(await wrongOf(targets.flatMap(triesOn)), []);
    });
  }
});
