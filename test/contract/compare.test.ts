import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiDocument, differences, operationsIn } from './compare.ts';

type Json = { [key: string]: unknown };

const schemas: ApiDocument['components']['schemas'] = {
  Colour: { type: 'string', enum: ['red', 'green'] },
  Thing: {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string' },
      colour: { allOf: [{ $ref: '#/components/schemas/Colour' }], default: 'red' },
      note: { type: ['string', 'null'] },
      parts: { type: 'array', items: { type: 'object', properties: { size: { type: 'integer' } } } },
    },
  },
};
const things = (operation: Json = {}): ApiDocument => ({
  paths: {
    '/things/': {
      post: {
        operationId: 'things_create',
        tags: ['Things'],
        security: [{ basicAuth: [] }],
        parameters: [{ in: 'query', name: 'fields', schema: { type: 'array', items: { type: 'string' } } }],
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } },
        responses: { 201: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } } },
        ...operation,
      },
    },
  },
  components: { schemas },
});
const only = (document: ApiDocument) => {
  const operation = operationsIn(document).get('things_create');
  assert.ok(operation);
  return operation;
};
const found = (operation: Json) => differences(only(things()), only(things(operation)));
const body = (schema: Json) => ({ requestBody: { content: { 'application/json': { schema } } } });
const thing = schemas.Thing as Json & { properties: Json };
const withField = (name: string, schema: unknown) => body({ ...thing, properties: { ...thing.properties, [name]: schema } });

test('an operation does not differ from itself', () => {
  assert.deepEqual(found({}), []);
});

test('the same schema spelt out and by reference does not differ', () => {
  assert.deepEqual(found(withField('colour', { type: 'string', enum: ['green', 'red'], default: 'red' })), []);
  assert.deepEqual(found(withField('note', { type: 'string', nullable: true })), []);
});

for (const [what, operation, line] of [
  ['a tag', { tags: ['Other'] }, 'tags: is Other, should be Things'],
  ['a missing parameter', { parameters: [] }, 'query parameter fields: missing, should be array'],
  ['no authentication', { security: [] }, 'open to anyone: is true, should be false'],
  ['a status', { responses: { 202: {} } }, 'status 201: missing, should be answered'],
  ['a required field', body({ ...thing, required: [] }), 'body as application/json.name: is string, should be string required'],
  [
    'an enum',
    withField('colour', { type: 'string', enum: ['red'], default: 'red' }),
    'body as application/json.colour: is string(red) default="red", should be string(green|red) default="red"',
  ],
  ['null', withField('note', { type: 'string' }), 'body as application/json.note: is string, should be string?'],
  [
    'a field deep inside',
    withField('parts', { type: 'array', items: { type: 'object', properties: { size: { type: 'string' } } } }),
    'body as application/json.parts[].size: is string, should be integer',
  ],
  ['a further field', withField('more', { type: 'string' }), 'body as application/json.more: should not be there (string)'],
  [
    'a write-only field',
    withField('note', { type: ['string', 'null'], writeOnly: true }),
    'body as application/json.note: is string? writeOnly, should be string?',
  ],
] as const) {
  test(`tells of ${what}`, () => {
    assert.ok(found(operation as Json).includes(line), found(operation as Json).join('\n'));
  });
}

test('a document that contradicts itself is refused', () => {
  const twice = { paths: { ...things().paths, '/others/': { get: { operationId: 'things_create' } } }, components: { schemas } };
  assert.throws(() => operationsIn(twice), /two operations are called things_create/);
  assert.throws(() => operationsIn(things(body({ $ref: '#/components/schemas/Lost' }))), /has no such schema/);
});
