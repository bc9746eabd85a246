import { z } from 'zod';

/** A JSON schema, as the OpenAPI document has it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** How a value crosses the wire: parsed from requests by `schema`, described by `json`. The parsers accept what Pulp's do (spec: core, request parsing). */
export interface Wire<T = unknown> {
  readonly schema: z.ZodType<T>;
  readonly json: JsonSchema;
  readonly nullable: boolean;
  /** A list or object: in a form, it arrives as repeated fields or as JSON text. */
  readonly structure?: 'list' | 'object';
}

export const NOT_NULL = 'This field may not be null.';
const NOT_BLANK = 'This field may not be blank.';
const notText = ({ input }: { readonly input?: unknown }): string => (input === null ? NOT_NULL : 'Not a valid string.');
const TRUE = new Set(['true', 't', 'yes', 'y', 'on', '1']);
const FALSE = new Set(['false', 'f', 'no', 'n', 'off', '0']);

const withNull = (json: JsonSchema): JsonSchema => ({ ...json, type: [json.type, 'null'] });

type NullableIf<N, T> = N extends true ? T | null : T;

/** Makes the wire type accept null where `nullable` says so; null is refused with Pulp's message everywhere else. */
function wire<T, N extends boolean | undefined>(
  schema: z.ZodType<T>,
  json: JsonSchema,
  nullable: N,
  structure?: 'list' | 'object',
): Wire<NullableIf<N, T>> {
  const parsed = (nullable ? schema.nullable() : schema) as unknown as z.ZodType<NullableIf<N, T>>;
  return {
    schema: parsed,
    json: nullable ? withNull(json) : json,
    nullable: nullable === true,
    ...(structure ? { structure } : {}),
  };
}

interface Nullable<N extends boolean | undefined> {
  readonly nullable?: N;
}

/** What is said of a text that is not well-formed: it names the first half of a pair that stands alone. */
const surrogateProblem = (text: string): string => {
  const [alone = ''] = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text) ?? [];
  return `Surrogate characters are not allowed: U+${alone.charCodeAt(0).toString(16).toUpperCase()}.`;
};

/** What a text has to look like, and what is said of one that does not. */
export interface TextPattern {
  readonly matches: RegExp;
  readonly message: string;
}

/** Text: numbers become text, blanks around it go; not blank unless `blank`. */
export function text<N extends boolean | undefined = false>(
  options: Nullable<N> & {
    readonly max?: number;
    readonly blank?: boolean;
    readonly format?: string;
    readonly pattern?: TextPattern;
  } = {},
): Wire<NullableIf<N, string>> {
  const { max, blank, format, pattern } = options;
  const schema = z
    .union([z.string(), z.number().transform(String)], { error: notText })
    .transform((value) => value.trim())
    .refine((value) => blank === true || value !== '', NOT_BLANK)
    .refine((value) => max === undefined || value.length <= max, `Ensure this field has no more than ${max} characters.`)
    .refine((value) => value === '' || pattern === undefined || pattern.matches.test(value), pattern?.message)
    .refine((value) => !value.includes('\0'), 'Null characters are not allowed.')
    .refine((value) => value.isWellFormed(), { error: ({ input }) => surrogateProblem(String(input)) });
  const json = {
    type: 'string',
    ...(blank ? {} : { minLength: 1 }),
    ...(max ? { maxLength: max } : {}),
    ...(format ? { format } : {}),
    ...(pattern ? { pattern: pattern.matches.source } : {}),
  };
  return wire(schema, json, options.nullable as N);
}

/** A whole number, also as text. 32 bits, as most columns are, unless `max` allows for more. */
export function integer<N extends boolean | undefined = false>(
  options: Nullable<N> & { readonly min?: number; readonly max?: number } = {},
): Wire<NullableIf<N, number>> {
  const { min = -(2 ** 31), max = 2 ** 31 - 1 } = options;
  const schema = z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\s*[+-]?\d{1,15}(\.0*)?\s*$/)
          .transform(Number),
      ],
      { error: 'A valid integer is required.' },
    )
    .refine(Number.isInteger, 'A valid integer is required.')
    .refine((value) => value >= min, `Ensure this value is greater than or equal to ${min}.`)
    .refine((value) => value <= max, `Ensure this value is less than or equal to ${max}.`);
  const json = { type: 'integer', format: 'int64', ...(options.min === undefined ? {} : { minimum: options.min }) };
  return wire(schema, json, options.nullable as N);
}

/** A number of seconds and the like, also as text. */
export function decimal<N extends boolean | undefined = false>(
  options: Nullable<N> & { readonly min?: number } = {},
): Wire<NullableIf<N, number>> {
  const min = options.min ?? Number.NEGATIVE_INFINITY;
  const schema = z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\s*[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})(e[+-]?\d{1,2})?\s*$/i)
          .transform(Number),
      ],
      { error: 'A valid number is required.' },
    )
    .refine((value) => value >= min, `Ensure this value is greater than or equal to ${min}.0.`);
  const json = { type: 'number', format: 'double', ...(options.min === undefined ? {} : { minimum: options.min }) };
  return wire(schema, json, options.nullable as N);
}

/** True or false in every spelling that Pulp takes: httpie's `mirror=False` sends text. */
export function bool(): Wire<boolean> {
  const schema = z.unknown().transform((value, context) => {
    const spelt = String(value).toLowerCase();
    if (TRUE.has(spelt)) return true;
    if (FALSE.has(spelt)) return false;
    context.addIssue({ code: 'custom', message: value === null ? NOT_NULL : 'Must be a valid boolean.' });
    return z.NEVER;
  });
  return wire(schema, { type: 'boolean' }, false);
}

/** One of a few words. */
export function choice<const V extends string>(values: readonly V[]): Wire<V> {
  const schema = z.unknown().transform((value, context) => {
    const found = values.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    context.addIssue({
      code: 'custom',
      message: `"${typeof value === 'string' ? value : JSON.stringify(value)}" is not a valid choice.`,
    });
    return z.NEVER;
  });
  return wire(schema, { type: 'string', enum: values }, false);
}

/** Some of a few words. What is wrong with one is said of the list. */
export function choices<const V extends string>(values: readonly V[]): Wire<V[]> {
  const { json, schema } = list(choice(values));
  const flat = z.unknown().transform((given, context) => {
    const parsed = schema.safeParse(given);
    if (parsed.success) return parsed.data;
    for (const { message } of parsed.error.issues) context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
  return wire(flat, json, false, 'list');
}

/** What a JSON value is called in Pulp's messages. */
export function typeName(value: unknown): string {
  if (value === null) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float';
  return 'dict';
}

/** A list of which each item is parsed by `item`; errors are keyed by index. `json` replaces the described item. */
export function list<T, N extends boolean | undefined = false>(
  item: Wire<T>,
  options: Nullable<N> & { readonly json?: JsonSchema } = {},
): Wire<NullableIf<N, T[]>> {
  const schema = z.array(item.schema, { error: (issue) => `Expected a list of items but got type "${typeName(issue.input)}".` });
  return wire(schema, { type: 'array', items: options.json ?? item.json }, options.nullable as N, 'list');
}

const notDictionary = (given: unknown): string => `Expected a dictionary of items but got type "${typeName(given)}".`;

/** An object with values of any kind. */
export function dictionary(): Wire<Record<string, unknown>> {
  const schema = z.record(z.string(), z.unknown(), { error: ({ input }) => notDictionary(input) });
  return wire(schema, { type: 'object' }, false, 'object');
}

/** `pulp_labels`: text to text or null; numbers become text (spec: core, labels). Every key is kept, `__proto__` too. */
export function labels(): Wire<Record<string, string | null>> {
  const schema = z.unknown().transform((given, context): Record<string, string | null> => {
    const refuse = (message: string, ...path: string[]) => context.addIssue({ code: 'custom', message, path });
    if (typeName(given) !== 'dict') {
      refuse(notDictionary(given));
      return z.NEVER;
    }
    const entries = Object.entries(given as object).map(([key, value]): [string, string | null] => {
      const label = typeof value === 'number' ? String(value) : (value as string | null);
      if (label !== null && typeof label !== 'string') refuse('Not a valid string.', key);
      else {
        const problem = labelProblem(key, label);
        if (problem) refuse(problem);
        else if (label?.isWellFormed() === false) refuse(surrogateProblem(label), key);
      }
      return [key, label];
    });
    return Object.fromEntries(entries);
  });
  return wire(schema, { type: 'object', additionalProperties: { type: ['string', 'null'] } }, false, 'object');
}

/** What is wrong with a label, or undefined. */
export function labelProblem(key: string, value: string | null): string | undefined {
  if (!/^[\p{L}\p{N}_ .-]+$/u.test(key))
    return `Key '${key}' contains invalid characters. Only alphanumerics, underscores, spaces, hyphens, and dots are allowed.`;
  if (value !== null && /[()]/.test(value)) return `Key '${key}' contains value with parenthesis.`;
  if (value?.includes('\0')) return `Key '${key}' contains a null character.`;
  return undefined;
}

/** Visible characters, blanks and tabs, each of one byte; nothing that would end the line (RFC 9110, 5.5). */
const validHeaderLine = (line: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(line);

/** A list of header objects: `[{"X-A": "v"}]`. */
export function headerList(): Wire<Record<string, string>[] | null> {
  const token = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'Not a valid header name.');
  const value = z
    .union([z.string(), z.number().transform(String)], { error: 'Not a valid string.' })
    .refine((line) => validHeaderLine(line), 'Not a valid header value.');
  const header = z.record(token, value, {
    error: (issue) => (issue.code === 'invalid_key' ? 'Not a valid header name.' : notDictionary(issue.input)),
  });
  const schema = z.array(header, {
    error: (issue) => `Expected a list of items but got type "${typeName(issue.input)}".`,
  });
  const { json: _, ...rest } = wire(schema, {}, true, 'list');
  return { ...rest, json: { type: 'array', items: { type: 'object' } } };
}

/** Any text that names a resource: href or PRN; what it must name, the field's `resolve` checks. An empty one is null. */
export function reference<N extends boolean | undefined = false>(options: Nullable<N> = {}): Wire<NullableIf<N, string>> {
  const schema = z.string({ error: (issue) => `Incorrect type. Expected URL string, received ${typeName(issue.input)}.` });
  const named = wire(
    schema.refine((value) => value !== '', NOT_NULL),
    { type: 'string', format: 'uri' },
    options.nullable as N,
  );
  if (!options.nullable) return named;
  return { ...named, schema: z.preprocess((value) => (value === '' ? null : value), named.schema) };
}

/** A point in time, ISO 8601, as text. */
export function datetime<N extends boolean | undefined = false>(options: Nullable<N> = {}): Wire<NullableIf<N, string>> {
  const schema = z.string({ error: 'Datetime has wrong format.' }).refine((value) => isDateTime(value), {
    error: 'Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].',
  });
  return wire(schema, { type: 'string', format: 'date-time' }, options.nullable as N);
}

const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?)?(?:Z|[+-](\d\d):?(\d\d))?$/;

/** A date, or a date and time, that PostgreSQL reads without a guess: a day that exists, a zone of less than 16 hours. */
export function isDateTime(value: string): boolean {
  const match = DATE_TIME.exec(value);
  if (!match) return false;
  const [year, month, day, hours, minutes, seconds, zoneHours, zoneMinutes] = match
    .slice(1)
    .map((digits) => Number(digits ?? 0)) as [number, number, number, number, number, number, number, number];
  // The day before the first of the next month is the last one of this month.
  const dayExists =
    year > 0 && month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
  return dayExists && hours < 24 && minutes < 60 && seconds < 60 && zoneHours < 16 && zoneMinutes < 60;
}

/** A value of responses only, described as it stands. */
export const described = (json: JsonSchema): Wire<unknown> => ({ schema: z.unknown(), json, nullable: true });
