/** A JSON schema of the document, as far as the values are made by it. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
}

/** A value that means no good, as JSON text: some cannot be said otherwise. */
export interface Hostile {
  readonly what: string;
  readonly json: string;
}

const nested = (levels: number, open: string, close: string): string => open.repeat(levels) + close.repeat(levels);
const hostile = (what: string, value: unknown): Hostile => ({ what, json: JSON.stringify(value) });
const FOREIGN_ID = '01890000-0000-7000-8000-000000000000';

/** What no field should fall over, whatever its type. */
const ANY: readonly Hostile[] = [
  hostile('null', null),
  hostile('true', true),
  hostile('an object', { a: 1 }),
  { what: 'a prototype', json: '{"__proto__": {"a": 1}, "constructor": {"prototype": {}}}' },
  hostile('a list of lists', [[1, [null]], {}]),
  { what: '1e400', json: '1e400' },
  { what: '2^63', json: '9223372036854775808' },
  hostile('-1', -1),
  hostile('a fraction', 0.5),
  hostile('nothing', ''),
  hostile('NUL', 'a\0b'),
  hostile('half a surrogate pair', 'a\ud800b'),
  { what: '90 levels', json: nested(90, '[', ']') },
];

const TEXTS: readonly Hostile[] = [
  hostile('1 MB of text', 'a'.repeat(1024 * 1024)),
  hostile('5,000 astral characters', '\u{1f980}'.repeat(5000)),
  hostile('line ends', 'a\r\nb: c'),
  hostile('a path that leads out', '../../../../etc/passwd'),
];

const REFERENCES: readonly Hostile[] = [
  hostile('an href of another server', `http://other.example/pulp/api/v3/repositories/container/container/${FOREIGN_ID}/`),
  hostile('an href of another kind', '/pulp/api/v3/status/'),
  hostile('an href of a task', `/pulp/api/v3/tasks/${FOREIGN_ID}/`),
  hostile(
    'an href with a version that is too large',
    `/pulp/api/v3/repositories/ostree/ostree/${FOREIGN_ID}/versions/9999999999999/`,
  ),
  hostile('an href of a user that cannot be', '/pulp/api/v3/users/99999999999999999999/'),
  hostile('an href with NUL', '/pulp/api/v3/repositories/ostree/ostree/\0/'),
  hostile('a PRN of nothing', `prn:a.b:${FOREIGN_ID}`),
  hostile('a PRN of a prototype', `prn:__proto__.constructor:${FOREIGN_ID}`),
  hostile('a PRN that is cut off', 'prn:'),
];

const NUMBERS: readonly Hostile[] = [
  hostile('a number as text', '99999999999999999999'),
  hostile('text', 'seven'),
  hostile('hexadecimal', '0x10'),
  { what: '1e300', json: '1e300' },
  { what: '2^31', json: '2147483648' },
  { what: '-2^63', json: '-9223372036854775809' },
  { what: 'minus nothing', json: '-0' },
];

const MAPS: readonly Hostile[] = [
  { what: 'a key of NUL', json: '{"a\\u0000": "b"}' },
  { what: 'a value of NUL', json: '{"a": "b\\u0000"}' },
  { what: 'a key that is half a surrogate pair', json: '{"a\\ud800": "b"}' },
  { what: 'a value that is half a surrogate pair', json: '{"a": "b\\udc00"}' },
  hostile('a thousand keys', Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`k${n}`, 'v']))),
];

const inList = ({ what, json }: Hostile): Hostile => ({ what: `a list of ${what}`, json: `[${json}]` });

/** What is tried on a field of the schema. */
export function hostileValues(schema: Schema): readonly Hostile[] {
  const type = [schema.type].flat()[0];
  if (type === 'integer' || type === 'number') return [...ANY, ...NUMBERS];
  if (type === 'object') return [...ANY, ...TEXTS.slice(1), ...MAPS];
  if (type === 'array')
    return [
      ...ANY,
      hostile('text', 'a'),
      ...hostileValues(schema.items ?? {}).map(inList),
      inList(hostile('many', 'a'.repeat(9))),
    ];
  if (schema.format === 'uri') return [...ANY, ...TEXTS, ...REFERENCES];
  return [...ANY, ...TEXTS];
}

/** What is tried on a query parameter, encoded. */
export const HOSTILE_QUERY: readonly string[] = [
  '%00',
  '%ED%A0%80',
  '-1',
  '99999999999999999999999',
  '%5B%28',
  '%27%22%3B--',
  'a%2Cb%2C%2C%00',
  '__proto__',
  '2026-02-30T25%3A61',
  'null',
  '%2Fpulp%2Fapi%2Fv3%2Fusers%2F99999999999999999999%2F',
  `%2Fpulp%2Fapi%2Fv3%2Frepositories%2Fostree%2Fostree%2F${FOREIGN_ID}%2Fversions%2F99999999999%2F`,
];

/** Whether a body is one of the recorded shapes of errors (spec: core, errors). */
export function isErrorBody(body: unknown): boolean {
  const texts = (value: unknown): boolean =>
    Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string');
  if (Array.isArray(body)) return texts(body);
  if (typeof body !== 'object' || body === null) return false;
  if (typeof (body as { detail?: unknown }).detail === 'string') return Object.keys(body).length === 1;
  const messages = (value: unknown): boolean =>
    texts(value) ||
    (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(messages));
  return Object.keys(body).length > 0 && Object.values(body).every(messages);
}
