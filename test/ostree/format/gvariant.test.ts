import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGVariant, swap32, swap64, type Value } from '../../../src/plugins/ostree/format/gvariant.ts';
import { gvariantType } from '../../../src/plugins/ostree/format/gvariant-type.ts';
import { serializeGVariant } from '../../../src/plugins/ostree/format/gvariant-writer.ts';
import { refusal } from './refusal.ts';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const parse = (type: string, hex: string) => parseGVariant(gvariantType(type), bytes(hex), 'thing');

/** The first ten are the examples of the GVariant specification (2.6). */
const EXAMPLES: readonly [name: string, type: string, value: Value, hex: string][] = [
  ['a string', 's', 'hello world', '68656c6c6f20776f726c6400'],
  ['a maybe string', 'ms', 'hello world', '68656c6c6f20776f726c640000'],
  ['an array of booleans', 'ab', [true, false, false, true, true], '0100000101'],
  ['a structure', '(si)', ['foo', -1], '666f6f00 ffffffff 04'],
  [
    'an array of structures',
    'a(si)',
    [
      ['hi', -2],
      ['bye', -1],
    ],
    '68690000 feffffff 03000000 62796500 ffffffff 04 09 15',
  ],
  ['an array of strings', 'as', ['i', 'can', 'has', 'strings?'], '6900 63616e00 68617300 737472696e67733f00 02 06 0a 13'],
  [
    'a nested structure',
    '((ys)as)',
    [
      [0x69, 'can'],
      ['has', 'strings?'],
    ],
    '6963616e00 68617300 737472696e67733f00 04 0d 05',
  ],
  ['a simple structure', '(yy)', [0x70, 0x80], '7080'],
  [
    'padded structures',
    'a(iy)',
    [
      [96, 0x70],
      [648, 0xf7],
    ],
    '60000000 70 000000 88020000 f7 000000',
  ],
  ['a dictionary entry', '{si}', ['a key', 514], '61206b657900 0000 02020000 06'],
  ['an empty tuple', '()', [], '00'],
  ['nothing', 'mi', null, ''],
  ['a maybe number', 'mi', 5, '05000000'],
  ['nothing of a string', 'ms', null, ''],
  ['an empty array', 'as', [], ''],
  ['an array of arrays', 'aas', [[], ['a']], '61 00 02 00 03'],
  ['bytes', 'ay', Buffer.from([4, 5]), '0405'],
  ['a variant', 'v', { type: 'u', value: 7 }, '07000000 00 75'],
  ['a variant in a variant', 'v', { type: 'v', value: { type: 's', value: 'x' } }, '7800 00 73 00 76'],
  ['small numbers', '(nqybx)', [-2, 65_535, 255, true, -3n], 'feff ffff ff 01 0000 fdffffffffffffff'],
  ['large numbers', '(td)', [2n ** 64n - 1n, 0x3ff0000000000000n], 'ffffffffffffffff 000000000000f03f'],
  ['an object path', 'o', '/org/example_1', '2f6f72672f6578616d706c655f3100'],
  ['a signature', 'g', 'a{sv}u', '617b73767d7500'],
];

for (const [name, type, value, hex] of EXAMPLES) {
  test(`${name}: read and written`, () => {
    assert.deepEqual(parse(type, hex), value);
    assert.deepEqual(serializeGVariant(gvariantType(type), value), bytes(hex));
  });
}

/** Every width of offset, on either side of where it changes. */
for (const size of [250, 253, 254, 255, 256, 65_528, 65_531, 65_532, 65_536]) {
  test(`an array of strings with ${size} bytes of text`, () => {
    const value = ['x'.repeat(size - 3), ''];
    const written = serializeGVariant(gvariantType('as'), value);
    assert.deepEqual(parseGVariant(gvariantType('as'), written, 'thing'), value);
  });
}

const NOT_NORMAL: readonly [name: string, type: string, hex: string][] = [
  ['a string without its end', 's', '6162'],
  ['an empty string without its end', 's', ''],
  ['a string with a zero byte inside', 's', '610062 00'],
  ['a string that is not UTF-8', 's', 'ff00'],
  ['a string of a surrogate', 's', 'eda08000'],
  ['a boolean of 2', 'b', '02'],
  ['a number that is too long', 'u', '0100000000'],
  ['a number that is too short', 'u', '010000'],
  ['an array with a broken element', 'au', '0100000002'],
  ['an array whose last offset is outside', 'as', '610009'],
  ['an array whose offsets go back', 'as', '6100 6200 04 02 04'],
  ['an array with a wider offset than needed', 'as', `${'61'.repeat(252)}00 fd00 fd00`],
  ['an array of one offset', 'as', '00 00'],
  ['a tuple whose offset is outside', '(ss)', '6100 6200 ff'],
  ['a tuple too short for its offsets', '(sss)', '00'],
  ['a tuple with a gap', '(si)', '610000ff 01000000 02'],
  ['a tuple with bytes left over', '(su)', '61000000 01000000 ff 02'],
  ['a tuple padded with something', '(yu)', '61ff0000 01000000'],
  ['a tuple padded with something at its end', '(uy)', '01000000 61 0000ff'],
  ['an empty tuple of a one', '()', '01'],
  ['an empty tuple of nothing', '()', ''],
  ['a variant without a type', 'v', '010203'],
  ['an empty variant', 'v', ''],
  ['a variant of no type', 'v', '6100'],
  ['a variant of half a type', 'v', '61 00 28'],
  ['a variant of two types', 'v', '61 00 7979'],
  ['a variant whose value does not fit', 'v', '61 00 75'],
  ['a maybe string without its end', 'ms', '6101'],
  ['an object path that ends in a slash', 'o', '2f612f00'],
  ['a signature of no type', 'g', '7a00'],
];

for (const [name, type, hex] of NOT_NORMAL) {
  test(`refused: ${name}`, () => {
    assert.match(
      refusal(() => parse(type, hex)),
      /^thing: /,
    );
  });
}

test('a message says what is wrong where', () => {
  assert.equal(
    refusal(() => parse('(yu)', '61ff0000 01000000')),
    'thing: it is not a GVariant of the normal form: (yu) at byte 1 has padding that is not zero',
  );
});

test('what is no type is refused', () => {
  for (const type of ['', 'z', 'a', 'm', '(', '(s', 's)', '{s}', '{sss}', '{vs}', '{(s)s}', 'ss', '*', 'a?', 'r', '\u{1f600}']) {
    assert.match(
      refusal(() => gvariantType(type, 'thing')),
      /^thing: ".*" is not a GVariant type$/,
    );
  }
});

test('levels are limited, of types and of variants', () => {
  assert.match(
    refusal(() => gvariantType(`${'a'.repeat(129)}y`)),
    /more than 128 levels/,
  );
  assert.match(
    refusal(() => gvariantType('('.repeat(2000))),
    /longer than 1024 characters/,
  );
  const nested = Buffer.concat([
    bytes('00'),
    Buffer.from('\0b', 'latin1'),
    ...Array.from({ length: 200_000 }, () => bytes('0076')),
  ]);
  assert.match(
    refusal(() => parseGVariant(gvariantType('v'), nested, 'thing')),
    /^thing: its GVariant has more than 128 levels$/,
  );
});

test('values are limited, whatever the bytes', () => {
  const many = Buffer.alloc(2_000_001);
  assert.match(
    refusal(() => parseGVariant(gvariantType('a()'), many, 'thing')),
    /^thing: its GVariant holds more than 2000000 values$/,
  );
});

test('bytes of the other order', () => {
  assert.equal(swap32(0x01020384), 0x84030201);
  assert.equal(swap32(0xed410000), 0x41ed);
  assert.equal(swap64(0x0102030405060708n), 0x0807060504030201n);
});

test('a value that is not of the type is not written', () => {
  const wrong: readonly [string, Value][] = [
    ['s', 1],
    ['s', 'a\0b'],
    ['s', '\ud800'],
    ['u', 1n],
    ['t', 1],
    ['ay', []],
    ['(ss)', ['one']],
    ['v', 'text'],
    ['as', 'text'],
    ['b', 1],
  ];
  for (const [type, value] of wrong) assert.throws(() => serializeGVariant(gvariantType(type), value), TypeError);
});
