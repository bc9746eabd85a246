import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DocumentedOperation } from '../../src/kit/api.ts';
import { catalogOf, documentedOperations } from '../../src/kit/catalog.ts';
import type { Field, Fields, Resource } from '../../src/kit/define-resource.ts';
import { filtersOf } from '../../src/kit/list.ts';
import { collectionPath, prnType, resourceKey } from '../../src/kit/names.ts';
import { everyPermission } from '../../src/kit/permissions.ts';
import { plugins } from '../../src/plugins.ts';

const catalog = catalogOf(plugins);
const operations = documentedOperations(catalog);
const { resources } = catalog;

/** Operations that anyone may ask for: what a client needs before it has, or to get, a login (spec: core, schema and status). */
const OPEN = ['docs_api.json_get', 'docs_api.yaml_get', 'livez_read', 'readyz_read', 'status_read', 'token_get'];

const SNAKE_CASE = /^[a-z0-9]+(?:_{1,2}[a-z0-9]+)*$/;
const PERMISSION = /^[a-z_]+\.[a-z_]+$/;
/** Names that only a secret has. */
const SECRET = /password|passphrase|secret|private|client_key|token|credential/;
/** Fields whose names look like it, and what they are. */
const NO_SECRETS = new Set(['private']); // whether pulls from a distribution need permission

/** The one secret that is answered: when it is made, and never again. */
const TOLD_ONCE = new Set(['api_tokens_create: token']);

/** Every list of fields that a resource declares, under a name to find it by. */
const fieldLists = (resource: Resource): [where: string, fields: Fields][] => [
  [resourceKey(resource), resource.fields],
  ...Object.entries(resource.actions ?? {}).flatMap(([name, { body }]): [string, Fields][] =>
    body ? [[`${resourceKey(resource)} ${name}`, body.fields]] : [],
  ),
];
const fields: readonly [where: string, field: Field][] = resources
  .flatMap(fieldLists)
  .flatMap(([where, list]) => Object.entries(list).map(([name, field]): [string, Field] => [`${where}: ${name}`, field]));

/** Names of the parts that break a rule. */
const breaking = <T>(parts: readonly [where: string, part: T][], broken: (part: T) => boolean): string[] =>
  parts.filter(([, part]) => broken(part)).map(([where]) => where);
const named = (list: readonly DocumentedOperation[]): [string, DocumentedOperation][] =>
  list.map((operation) => [operation.operationId, operation]);

/** Every property of a schema, at any depth, as `name` and the schema it has. */
function properties(json: unknown): [name: string, schema: Record<string, unknown>][] {
  if (typeof json !== 'object' || json === null) return [];
  const own = (json as { properties?: Record<string, Record<string, unknown>> }).properties ?? {};
  return [...Object.entries(own), ...Object.values(json).flatMap(properties)];
}

test('every field is described', () => {
  assert.deepEqual(
    breaking(fields, ({ description }) => description.trim() === ''),
    [],
  );
});

test('every operation has a summary and a tag', () => {
  assert.deepEqual(
    breaking(named(operations), ({ summary, tag }) => summary.trim() === '' || tag.trim() === ''),
    [],
  );
});

test('nobody but users may ask anything, except for the open operations', () => {
  assert.deepEqual(
    breaking(named(operations), ({ audience, operationId }) => audience === 'anyone' && !OPEN.includes(operationId)),
    [],
  );
});

test('permissions are named like permissions', () => {
  assert.deepEqual(
    [...everyPermission(catalog)].filter((permission) => !PERMISSION.test(permission)),
    [],
  );
});

test('every operation says how it answers', () => {
  assert.deepEqual(
    breaking(named(operations), ({ responses }) => !responses.some(({ status }) => status >= 200 && status < 300)),
    [],
  );
});

test('a secret is only taken, never answered', () => {
  assert.deepEqual(
    breaking(fields, (field) => field.secret === true && field.access !== 'write'),
    [],
  );
  assert.deepEqual(
    breaking(fields, (field) => field.access === 'write' && (field.value !== undefined || field.lookups !== undefined)),
    [],
  );
});

test('no response has a field that is only taken, or the name of a secret', () => {
  const answered = operations.flatMap(({ operationId, responses }) =>
    responses.flatMap(({ component }) =>
      properties(component?.json).map(([name, schema]): [string, { name: string; schema: Record<string, unknown> }] => [
        `${operationId}: ${name}`,
        { name, schema },
      ]),
    ),
  );
  const secrets = breaking(
    answered,
    ({ name, schema }) => schema.writeOnly === true || (SECRET.test(name) && !NO_SECRETS.has(name)),
  );
  assert.deepEqual(
    secrets.filter((secret) => !TOLD_ONCE.has(secret)),
    [],
  );
});

test('lists cannot be filtered or ordered by a secret', () => {
  const secrets = (resource: Resource) => Object.keys(resource.fields).filter((name) => resource.fields[name]?.secret === true);
  const found = resources.flatMap((resource) => [
    ...secrets(resource).filter((name) => resource.ordering[name]),
    ...[...filtersOf(resource).keys()].filter((filter) =>
      secrets(resource).some((name) => filter === name || filter.startsWith(`${name}__`)),
    ),
  ]);
  assert.deepEqual(found, []);
});

test('filters and fields have lower snake case names', () => {
  const names = resources.flatMap((resource) => [
    ...filtersOf(resource).keys(),
    ...fieldLists(resource).flatMap(([, list]) => Object.keys(list)),
    ...Object.keys(resource.ordering),
  ]);
  assert.deepEqual(
    names.filter((name) => !SNAKE_CASE.test(name)),
    [],
  );
});

test('a renamed field has become one that is taken, and its old name is free', () => {
  const renamed = resources.flatMap((resource) =>
    Object.entries(resource.renamed ?? {}).map(([old, present]): [string, [Field | undefined, Field | undefined]] => [
      `${resourceKey(resource)}: ${old}`,
      [resource.fields[old], resource.fields[present]],
    ]),
  );
  assert.ok(renamed.length > 0);
  assert.deepEqual(
    breaking(renamed, ([old, present]) => old !== undefined || present === undefined || present.access === 'read'),
    [],
  );
});

test('a reduced answer names fields of the resource', () => {
  const reduced = resources.flatMap((resource) =>
    Object.entries(resource.reduced ?? {}).flatMap(([flag, names]) =>
      names.map((name): [string, Field | undefined] => [`${resourceKey(resource)} ${flag}: ${name}`, resource.fields[name]]),
    ),
  );
  assert.deepEqual(
    breaking(reduced, (field) => field === undefined || field.access === 'write'),
    [],
  );
});

test('tasks have names of their own, the dotted ones that clients filter on', () => {
  const names = catalog.plugins.flatMap((plugin) => plugin.tasks.map((task) => task.name));
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
  assert.deepEqual(
    names.filter((name) => !/^[a-z_]+(\.[a-z_]+)+$/.test(name)),
    [],
  );
});

test('PRN types are of one resource', () => {
  const types = resources.filter((resource) => !resource.nested && resource.verbs.includes('read')).map(prnType);
  assert.deepEqual(
    types.filter((type, index) => types.indexOf(type) !== index),
    [],
  );
});

test('a kind of content lives where a resource is', () => {
  const places = new Map(resources.map((resource) => [collectionPath(resource), resource.model]));
  assert.deepEqual(
    catalog.contentTypes.filter((type) => places.get(type.collection) !== type.model).map((type) => type.pulp_type),
    [],
  );
});

test('what can be written has a store', () => {
  const writes = (resource: Resource) =>
    resource.verbs.some((verb) => verb === 'create' || verb === 'update' || verb === 'partial_update' || verb === 'delete');
  assert.deepEqual(resources.filter((resource) => writes(resource) && !resource.store).map(resourceKey), []);
});
