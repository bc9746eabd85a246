import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Expression, ExpressionError, parseExpression } from '../../src/kit/expression.ts';

/** `name=a OR NOT b=c` as `or(name=a, not(b=c))`. */
const shown = (expression: Expression): string => {
  if (expression.kind === 'term') return `${expression.filter}=${expression.value}`;
  if (expression.kind === 'not') return `not(${shown(expression.part)})`;
  return `${expression.kind}(${expression.parts.map(shown).join(', ')})`;
};
const tree = (text: string): string => shown(parseExpression(text));
const refused = (text: string, message: string) =>
  assert.throws(
    () => parseExpression(text),
    (error: unknown) => error instanceof ExpressionError && error.message === message,
    text,
  );

const SYNTAX = 'Syntax error in expression.';
const COMPLEX = 'Filter expression exceeds allowed complexity.';
const terms = (count: number, word: string): string => Array(count).fill('name=a').join(` ${word} `);

// What Pulp takes and refuses (spec: core, q expressions), each asked of one.
for (const [text, expected] of [
  ['name=a', 'name=a'],
  ['name = a', 'name=a'],
  ['\tname=a\n', 'name=a'],
  ['name=a AND name=b', 'and(name=a, name=b)'],
  ['name=a OR name=b AND name=c', 'or(name=a, and(name=b, name=c))'],
  ['name=a AND name=b OR name=c', 'or(and(name=a, name=b), name=c)'],
  ['(name=a OR name=b) AND name=c', 'and(or(name=a, name=b), name=c)'],
  ['NOT name=a AND name=b', 'and(not(name=a), name=b)'],
  ['NOT name=a OR NOT name=b', 'or(not(name=a), not(name=b))'],
  ['NOT NOT name=a', 'not(not(name=a))'],
  ['NOT(name=a)', 'not(name=a)'],
  ['(name=a)AND(name=b)', 'and(name=a, name=b)'],
  ['name="a"AND name=b', 'and(name=a, name=b)'],
  ['name=AND', 'name=AND'],
  ['name=OR OR name=a', 'or(name=OR, name=a)'],
  ['AND=a', 'AND=a'],
  ['NOTname=a', 'NOTname=a'],
  ['name=a.b,c_d*e-f', 'name=a.b,c_d*e-f'],
  ['name=éÿ', 'name=éÿ'],
  ['name="a b"', 'name=a b'],
  ["name='a b'", 'name=a b'],
  ['name="it\'s"', "name=it's"],
  ['name=\'"a"\'', 'name="a"'],
  ['name=""', 'name='],
  ['name="(a) AND b=c"', 'name=(a) AND b=c'],
  ['name__regex="^a\\d+$"', 'name__regex=^a\\d+$'],
  ['name="a\\"b"', 'name=a\\"b'],
  ['name="a\\\\"', 'name=a\\\\'],
] as const) {
  test(`${JSON.stringify(text)} is ${expected}`, () => assert.equal(tree(text), expected));
}

for (const text of [
  '',
  'name',
  'name=',
  '=a',
  'name==a',
  'name=a=b',
  'name=a name=b',
  'name=a AND',
  'AND name=a',
  'name=a and name=b',
  'name=aAND name=b',
  'NOT',
  'NOT=a',
  '()',
  '(name=a',
  'name=a)',
  'name="a',
  "name='a",
  'name="a\\"',
  'name="a"b',
  'name="a\nb"',
  'name=a/b',
  'name=a:b',
  'name=a+b',
  'name=a%b',
  'name=[a]',
  'name=Ā',
  'name=×',
  'name=x\u00a0y',
  'name=\0',
  '"name"=a',
  '-name=a',
  '_name=a',
  '1=a',
  'na-me=a',
  'name.x=a',
]) {
  test(`${JSON.stringify(text)} is refused`, () => refused(text, SYNTAX));
}

test('a term counts one, a NOT and a group of ANDs or ORs one more, and eight is the limit', () => {
  parseExpression(terms(7, 'OR'));
  refused(terms(8, 'OR'), COMPLEX);
  parseExpression(terms(7, 'AND'));
  refused(terms(8, 'AND'), COMPLEX);
  parseExpression(`${'NOT '.repeat(7)}name=a`);
  refused(`${'NOT '.repeat(8)}name=a`, COMPLEX);
  parseExpression('name=a AND (name=b AND (name=c AND name=d))');
  refused('name=a AND (name=b AND (name=c AND (name=d AND name=e)))', COMPLEX);
  parseExpression(`NOT (${terms(6, 'OR')})`);
  refused(`NOT (${terms(7, 'OR')})`, COMPLEX);
});

test('parentheses count nothing', () => {
  assert.equal(tree(`${'('.repeat(90)}name=a${')'.repeat(90)}`), 'name=a');
  assert.equal(tree('((name=a OR name=b)) AND ((name=c))'), 'and(or(name=a, name=b), name=c)');
});

test('16,000 parentheses or NOTs are refused, without an overflow of the stack', () => {
  refused(`${'('.repeat(16_000)}name=a${')'.repeat(16_000)}`, COMPLEX);
  refused('('.repeat(16_000), COMPLEX);
  refused(`${'NOT '.repeat(16_000)}name=a`, COMPLEX);
});

test('a long text is read in time that grows with its length', () => {
  const began = process.hrtime.bigint();
  assert.equal(parseExpression(`name="${'\\"'.repeat(500_000)}"`).kind, 'term');
  refused(`name="${'\\"'.repeat(500_000)}`, SYNTAX);
  refused('name '.repeat(20_000), COMPLEX);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  assert.ok(seconds < 5, `took ${seconds} s`);
});
