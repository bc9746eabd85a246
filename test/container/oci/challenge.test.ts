import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenges } from '../../../src/plugins/container/oci/challenge.ts';

type Plain = [scheme: string, parameters: Record<string, string>];

const cases: readonly (readonly [header: string, challenges: Plain[]])[] = [
  ['', []],
  ['Basic realm="upstream"', [['basic', { realm: 'upstream' }]]],
  ['Basic', [['basic', {}]]],
  [
    'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
    [['bearer', { realm: 'https://auth.example/token', service: 'registry', scope: 'repository:a/b:pull,push' }]],
  ],
  ['Bearer realm="https://h/token?tenant=a=b&x=1"', [['bearer', { realm: 'https://h/token?tenant=a=b&x=1' }]]],
  [
    'Negotiate, Basic realm="a, b", bearer Realm=plain , service = "s"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'a, b' }],
      ['bearer', { realm: 'plain', service: 's' }],
    ],
  ],
  [
    'Negotiate YWJjZGVm==, Basic realm="x"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  ['Basic realm="say \\"hi\\" \\\\ there"', [['basic', { realm: 'say "hi" \\ there' }]]],
  [
    ', ,Basic realm="x",,Digest nonce="1",',
    [
      ['basic', { realm: 'x' }],
      ['digest', { nonce: '1' }],
    ],
  ],
  ['Basic realm="first", realm="second"', [['basic', { realm: 'first' }]]],
  ['Bearer realm="never closed', [['bearer', {}]]],
  ['"quoted"', []],
];

for (const [header, expected] of cases) {
  test(`WWW-Authenticate: ${header || '(empty)'}`, () => {
    const parsed = parseChallenges(header).map(({ scheme, parameters }): Plain => [scheme, Object.fromEntries(parameters)]);
    assert.deepEqual(parsed.slice(0, expected.length), expected);
  });
}

test('a long header takes no longer than it is', () => {
  const started = performance.now();
  parseChallenges(`Bearer ${'a="'.repeat(20_000)}`);
  parseChallenges(`Basic ${'a '.repeat(20_000)}`);
  assert.ok(performance.now() - started < 1000);
});
