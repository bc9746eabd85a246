import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBody } from '../../src/kit/body.ts';
import type { Field } from '../../src/kit/define-resource.ts';
import { ValidationError } from '../../src/kit/errors.ts';
import {
  bool,
  choice,
  datetime,
  decimal,
  dictionary,
  headerList,
  integer,
  isDateTime,
  labels,
  list,
  reference,
  text,
  type Wire,
} from '../../src/kit/wire.ts';

/*
 * What Pulp answered to the same values in the bodies of repositories and remotes (spec: core, request parsing, labels,
 * errors). Where Deckle refuses what Pulp takes, the test says so.
 */

const given = (wire: Wire, value: unknown, form = false) => {
  const field: Field = { wire, description: 'A field.' };
  return parseBody({ field: value }, { fields: { field }, partial: true, form }).field;
};
const refusal = (wire: Wire, value: unknown): unknown => {
  try {
    given(wire, value);
  } catch (error) {
    if (error instanceof ValidationError) return (error.body as { field: unknown }).field;
    throw error;
  }
  return undefined;
};

const NULL = ['This field may not be null.'];
const BLANK = ['This field may not be blank.'];
const NOT_TEXT = ['Not a valid string.'];
const NOT_INTEGER = ['A valid integer is required.'];
const NOT_NUMBER = ['A valid number is required.'];

interface Case {
  readonly what: string;
  readonly wire: Wire;
  /** Given, and what it is then. */
  readonly taken?: readonly (readonly [value: unknown, parsed: unknown])[];
  readonly refused?: readonly (readonly [value: unknown, messages: unknown])[];
}

const spelt = (words: readonly unknown[], parsed: boolean) => words.map((word) => [word, parsed] as const);

const cases: readonly Case[] = [
  {
    what: 'a boolean',
    wire: bool(),
    taken: [
      ...spelt([true, 'true', 'True', 'TRUE', 'tRuE', 't', 'T', 'yes', 'y', 'on', 'On', '1', 1], true),
      ...spelt([false, 'false', 'False', 'f', 'F', 'no', 'n', 'N', 'off', 'OFF', '0', 0], false),
    ],
    refused: [
      ...['maybe', '', ' true ', '2', 2, [], {}, 'None', 'null'].map((value) => [value, ['Must be a valid boolean.']] as const),
      [null, NULL],
    ],
  },
  {
    what: 'a text',
    wire: text(),
    taken: [
      ['x', 'x'],
      ['  http://a/  ', 'http://a/'],
      [123, '123'],
      [1.5, '1.5'],
      ['é😀', 'é😀'],
    ],
    refused: [
      [null, NULL],
      ['', BLANK],
      ['\t\n ', BLANK],
      [true, NOT_TEXT],
      [['a'], NOT_TEXT],
      [{}, NOT_TEXT],
      ['a\0b', ['Null characters are not allowed.']],
      ['\ud800', ['Surrogate characters are not allowed: U+D800.']],
    ],
  },
  { what: 'a text that may be null', wire: text({ nullable: true }), taken: [[null, null]], refused: [['', BLANK]] },
  {
    what: 'a short text',
    wire: text({ max: 3 }),
    taken: [[' abc ', 'abc']],
    refused: [['abcd', ['Ensure this field has no more than 3 characters.']]],
  },
  {
    what: 'an integer',
    wire: integer({ min: 1 }),
    taken: [
      [1, 1],
      ['1', 1],
      [' 1 ', 1],
      ['01', 1],
      ['+1', 1],
      ['1.0', 1],
      ['1.00', 1],
      [2147483647, 2147483647],
    ],
    refused: [
      ...[1.5, '1.5', '', true, 'abc', '1e3', [], {}, '0x10'].map((value) => [value, NOT_INTEGER] as const),
      [0, ['Ensure this value is greater than or equal to 1.']],
      ['-1', ['Ensure this value is greater than or equal to 1.']],
      [null, NULL],
      // Pulp takes it, and fails later: the column has 32 bits.
      [2147483648, ['Ensure this value is less than or equal to 2147483647.']],
    ],
  },
  {
    what: 'a number',
    wire: decimal({ nullable: true, min: 0 }),
    taken: [
      [1, 1],
      [1.5, 1.5],
      ['1.5', 1.5],
      [' 2 ', 2],
      ['1e3', 1000],
      ['.5', 0.5],
      ['1.', 1],
      [null, null],
    ],
    refused: [
      [-1, ['Ensure this value is greater than or equal to 0.0.']],
      ...['', 'abc', 'inf', 'nan', [], {}, Number.POSITIVE_INFINITY].map((value) => [value, NOT_NUMBER] as const),
    ],
  },
  {
    what: 'a choice',
    wire: choice(['immediate', 'on_demand']),
    taken: [['on_demand', 'on_demand']],
    refused: [
      ['x', ['"x" is not a valid choice.']],
      ['IMMEDIATE', ['"IMMEDIATE" is not a valid choice.']],
      [' immediate ', ['" immediate " is not a valid choice.']],
      ['', ['"" is not a valid choice.']],
      [1, ['"1" is not a valid choice.']],
      [{}, ['"{}" is not a valid choice.']],
      [null, NULL],
    ],
  },
  {
    what: 'a list',
    wire: list(text({ max: 5 }), { nullable: true }),
    taken: [
      [
        ['a', 1],
        ['a', '1'],
      ],
      [[], []],
      [null, null],
    ],
    refused: [
      ['a', ['Expected a list of items but got type "str".']],
      [1, ['Expected a list of items but got type "int".']],
      [{ a: 1 }, ['Expected a list of items but got type "dict".']],
      [['a', ''], { '1': BLANK }],
      [['a', null], { '1': NULL }],
      [[true, 'toolong'], { '0': NOT_TEXT, '1': ['Ensure this field has no more than 5 characters.'] }],
    ],
  },
  {
    what: 'a dictionary',
    wire: dictionary(),
    taken: [
      [{}, {}],
      [
        { a: null, b: [1, { c: true }] },
        { a: null, b: [1, { c: true }] },
      ],
    ],
    refused: [
      [null, NULL],
      ['x', ['Expected a dictionary of items but got type "str".']],
      [1, ['Expected a dictionary of items but got type "int".']],
      [[], ['Expected a dictionary of items but got type "list".']],
    ],
  },
  {
    what: 'labels',
    wire: labels(),
    taken: [
      [{}, {}],
      [
        { a: 'b', 'a.b-c_d e': '', é: null },
        { a: 'b', 'a.b-c_d e': '', é: null },
      ],
      [
        { a: 1, b: 1.5 },
        { a: '1', b: '1.5' },
      ],
      [{ ' a ': ' x, y ' }, { ' a ': ' x, y ' }],
    ],
    refused: [
      [null, NULL],
      ['x', ['Expected a dictionary of items but got type "str".']],
      [[], ['Expected a dictionary of items but got type "list".']],
      [{ a: true }, { a: NOT_TEXT }],
      [
        { a: [], b: 'x', c: {} },
        { a: NOT_TEXT, c: NOT_TEXT },
      ],
      [{ a: '(x' }, ["Key 'a' contains value with parenthesis."]],
      [{ a: 'x)' }, ["Key 'a' contains value with parenthesis."]],
      ...['', 'a/b', 'a,b', 'a\nb'].map(
        (key) =>
          [
            { [key]: 'x' },
            [`Key '${key}' contains invalid characters. Only alphanumerics, underscores, spaces, hyphens, and dots are allowed.`],
          ] as const,
      ),
    ],
  },
  {
    what: 'headers',
    wire: headerList(),
    taken: [
      [[], []],
      [[{}], [{}]],
      [[{ 'X-A': 'v', 'X-B': 1 }], [{ 'X-A': 'v', 'X-B': '1' }]],
      [[{ 'X-A': '' }], [{ 'X-A': '' }]],
    ],
    refused: [
      ['x', ['Expected a list of items but got type "str".']],
      [{}, ['Expected a list of items but got type "dict".']],
      [['x'], { '0': ['Expected a dictionary of items but got type "str".'] }],
      [[{}, 1], { '1': ['Expected a dictionary of items but got type "int".'] }],
      // Pulp takes these, and sends them or fails at the first request.
      [[{ 'X-A': null }], { '0': NOT_TEXT }],
      [[{ 'X A': 'v' }], { '0': ['Not a valid header name.'] }],
      [[{ 'X-A': 'v\r\nY: z' }], { '0': ['Not a valid header value.'] }],
    ],
  },
  {
    what: 'a reference',
    wire: reference({ nullable: true }),
    taken: [
      ['/pulp/api/v3/x/', '/pulp/api/v3/x/'],
      [null, null],
      ['', null],
    ],
    refused: [
      [1, ['Incorrect type. Expected URL string, received int.']],
      [[], ['Incorrect type. Expected URL string, received list.']],
    ],
  },
  {
    what: 'a reference that must be there',
    wire: reference(),
    refused: [
      [null, NULL],
      ['', NULL],
    ],
  },
  {
    what: 'a point in time',
    wire: datetime(),
    taken: [['2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z']],
    refused: [
      [null, NULL],
      [
        'yesterday',
        ['Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].'],
      ],
      [1, ['Datetime has wrong format.']],
    ],
  },
];

for (const { what, wire, taken = [], refused = [] } of cases) {
  for (const [value, parsed] of taken) {
    test(`${what}: ${JSON.stringify(value)} is taken`, () => assert.deepEqual(given(wire, value), parsed));
  }
  for (const [value, messages] of refused) {
    test(`${what}: ${String(JSON.stringify(value)).slice(0, 60)} is refused`, () =>
      assert.deepEqual(refusal(wire, value), messages));
  }
}

test('a form has lists as repeated fields or JSON, objects as JSON, and nothing for null', () => {
  const names = list(text(), { nullable: true });
  assert.deepEqual(given(names, ['a', 'b'], true), ['a', 'b']);
  assert.deepEqual(given(names, 'a', true), ['a']);
  assert.deepEqual(given(names, '["a", "b"]', true), ['a', 'b']);
  assert.deepEqual(given(names, '[a-z]*', true), ['[a-z]*']);
  assert.equal(given(names, '', true), null);
  assert.deepEqual(given(labels(), '{"a": "b"}', true), { a: 'b' });
  assert.deepEqual(given(labels(), '', true), {});
  assert.equal(given(integer({ nullable: true }), '', true), null);
  assert.equal(given(bool(), 'False', true), false);
});

// PostgreSQL reads each of the first and refuses each of the others.
for (const value of [
  '2026-01-01',
  '2024-02-29',
  '2000-02-29',
  '2026-01-01T00:00',
  '2026-01-01 23:59',
  '2026-12-31T23:59:59',
  '2026-01-01T00:00:00.1Z',
  '2026-01-01T00:00:00.123456Z',
  '2026-01-01T00:00:00+01:00',
  '2026-01-01T00:00:00-1130',
  '0001-01-01',
  '9999-12-31T23:59:59Z',
]) {
  test(`${value} is a point in time`, () => assert.equal(isDateTime(value), true));
}
for (const value of [
  '',
  'now',
  '2026',
  '1767225600',
  '01/02/2026',
  '2026-1-1',
  '2026-13-01',
  '2026-00-01',
  '2026-01-00',
  '2026-02-29',
  '2026-02-30',
  '1900-02-29',
  '2026-04-31T10:00',
  '0000-01-01',
  '10000-01-01',
  '2026-01-01T24:00',
  '2026-01-01T00:60',
  '2026-01-01T00:00:60Z',
  '2026-01-01T00:00:00+16:00',
  '2026-01-01T00:00:00+23:59',
  '2026-01-01T00:00:00+01:60',
  '2026-01-01T00:00:00Z\n',
]) {
  test(`${JSON.stringify(value)} is no point in time`, () => assert.equal(isDateTime(value), false));
}
