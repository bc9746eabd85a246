import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import type { Operation } from '../../src/kit/api.ts';
import { apiOperations, catalogOf } from '../../src/kit/catalog.ts';
import type { Resource } from '../../src/kit/define-resource.ts';
import { resourceKey } from '../../src/kit/names.ts';
import type { JsonSchema } from '../../src/kit/wire.ts';
import { plugins } from '../../src/plugins.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { asPushRepository } from '../support/push-repository.ts';

/*
 * Every list against the database: that each order, filter and field that a resource declares has the columns it rests on.
 */

const catalog = catalogOf(plugins);
const lists = apiOperations(catalog).filter(({ operationId }) => operationId.endsWith('_list'));

let app: TestApp;
/** What only one plugin's remotes have to say. */
const KINDS = { container: { upstream_name: 'lists' }, ostree: {} };
/** Rows by their collection: what is nested is below them. */
const parents = new Map<string, string>();
/** Lists that have pages alone, as the contract has them. */
const UNFILTERED = ['groups_users_list', 'task_groups_list'];

before(async () => {
  app = await startApp({ worker: false });
  const create = async (path: string, body: unknown): Promise<string> => {
    const answer = await app.request('POST', `/pulp/api/v3/${path}`, body);
    assert.ok(answer.status === 201 || answer.status === 202, JSON.stringify(answer.body));
    return answer.status === 201 ? answer.body.pulp_href : (await app.finished(answer)).created_resources[0];
  };
  // A row of each kind that can be made without an upstream, so that lists are not empty.
  for (const [kind, more] of Object.entries(KINDS)) {
    const name = `lists-${kind}`;
    const remote = await create(`remotes/${kind}/${kind}/`, { name, url: 'https://upstream.example.org', ...more });
    const repository = await create(`repositories/${kind}/${kind}/`, { name, remote });
    await create(`distributions/${kind}/${kind}/`, { name, base_path: `${name}/all`, repository });
    parents.set(`/pulp/api/v3/repositories/${kind}/${kind}/`, repository);
  }
  const pushed = await create('repositories/container/container/', { name: 'lists-pushed' });
  parents.set('/pulp/api/v3/repositories/container/container-push/', await asPushRepository(app, pushed));
  const username = 'lists';
  parents.set('/pulp/api/v3/users/', await create('users/', { username }));
  const group = await create('groups/', { name: 'lists' });
  parents.set('/pulp/api/v3/groups/', group);
  await app.request('POST', `${group}users/`, { username });
  await create('api-tokens/', { name: 'lists' });
});
after(() => app?.stop());

/** Where a list is, with the rows above it filled in. */
const urlOf = (operation: Operation): string => {
  const [collection = '', below] = operation.url.split(':pulp_id/');
  return below === undefined ? collection : `${parents.get(collection)}${below}`;
};

const TEXT = 'x';

/** A value that the filter's schema allows. */
function sample(schema: JsonSchema): string {
  const [word] = (schema.enum ?? []) as readonly string[];
  if (word !== undefined) return word;
  if (schema.type === 'array') return sample(schema.items as JsonSchema);
  if (schema.format === 'date-time') return '2026-01-01T00:00:00Z';
  if (schema.format === 'uuid') return '01a1fb38-4e04-7b05-b924-15662fb85683';
  return { integer: '1', number: '1', boolean: 'true' }[schema.type as string] ?? TEXT;
}

const ranged = (name: string, value: string): string => (name.endsWith('__range') ? `${value},${value}` : value);

for (const operation of lists) {
  const inQuery = operation.parameters.filter((parameter) => parameter.in === 'query');

  test(`${operation.operationId} can be ordered by each of its names`, async () => {
    const ordering = inQuery.find((parameter) => parameter.name === 'ordering');
    if (!ordering) return assert.ok(UNFILTERED.includes(operation.operationId));
    const names = (ordering.schema.items as { enum: readonly string[] }).enum;
    const failed: string[] = [];
    for (const name of names) {
      const { status, body } = await app.request('GET', `${urlOf(operation)}?ordering=${name}`);
      if (status !== 200) failed.push(`${name}: ${status} ${JSON.stringify(body)}`);
    }
    assert.deepEqual(failed, []);
  });

  test(`${operation.operationId} understands each of its filters`, async () => {
    const failed: string[] = [];
    for (const { name, schema } of inQuery) {
      const text = ranged(name, sample(schema));
      const { status, body } = await app.request('GET', `${urlOf(operation)}?${name}=${encodeURIComponent(text)}`);
      // A text may have to be the path of something, which this one is not: then the filter itself says so.
      const refused = status === 400 && text === TEXT && !JSON.stringify(body).includes('Invalid Filter');
      if (status !== 200 && !refused) failed.push(`${name}: ${status} ${JSON.stringify(body)}`);
    }
    assert.deepEqual(failed, []);
  });

  test(`${operation.operationId} answers the documented fields`, async () => {
    const { body } = await app.request('GET', urlOf(operation));
    const page = operation.responses[0]?.component?.json.properties as { results: { items: JsonSchema } };
    const documented = Object.keys(page.results.items.properties as object).sort();
    for (const row of body.results) assert.deepEqual(Object.keys(row).sort(), documented);
  });
}

/** Names of what a resource selects, whether there are rows or not. */
async function selected(resource: Resource): Promise<string[]> {
  const [row] = await app.services.db.query<object>(
    sql`select rows.* from (select) one left join (select ${resource.select} from ${resource.from} limit 0) rows on true`,
  );
  return Object.keys(row ?? {});
}

for (const resource of catalog.resources) {
  test(`${resourceKey(resource)} selects what it answers`, async () => {
    const columns = await selected(resource);
    const lacking = Object.entries(resource.fields)
      .filter(([name, field]) => field.access !== 'write' && !field.value && !field.bulk && !columns.includes(name))
      .map(([name]) => name);
    assert.deepEqual(lacking, []);
  });
}

// The kit finds the field that a unique violation is about by the name of the index.
for (const resource of catalog.resources) {
  const unique = Object.keys(resource.fields).filter((name) => resource.fields[name]?.unique);
  if (unique.length === 0) continue;
  test(`${resourceKey(resource)} has an index for each unique field`, async () => {
    const table = resource.from.strings.join('').trim().split(/\s+/)[0];
    const indexes = await app.services.db.query<{ name: string }>(sql`
      select indexrelid::regclass::text as name from pg_index where indrelid = ${table}::regclass and indisunique`);
    assert.deepEqual(
      unique.filter((name) => !indexes.some((index) => index.name.includes(`_${name}_`))),
      [],
    );
  });
}
