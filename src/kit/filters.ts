import { join, raw, type Sql, sql } from '../db/sql.ts';
import type { ApiRequest } from './api.ts';
import type { Resource } from './define-resource.ts';
import { ValidationError } from './errors.ts';
import { isDateTime, type JsonSchema } from './wire.ts';

export type Lookup =
  | 'exact'
  | 'iexact'
  | 'in'
  | 'contains'
  | 'icontains'
  | 'startswith'
  | 'istartswith'
  | 'regex'
  | 'iregex'
  | 'lt'
  | 'lte'
  | 'gt'
  | 'gte'
  | 'range'
  | 'isnull'
  | 'ne';

export const NAME_LOOKUPS: readonly Lookup[] = [
  'exact',
  'iexact',
  'in',
  'contains',
  'icontains',
  'startswith',
  'istartswith',
  'regex',
  'iregex',
];
export const TIME_LOOKUPS: readonly Lookup[] = ['exact', 'lt', 'lte', 'gt', 'gte', 'range', 'isnull'];
export const NUMBER_LOOKUPS: readonly Lookup[] = ['exact', 'ne', 'lt', 'lte', 'gt', 'gte', 'range', 'isnull'];

/** A query parameter that narrows a list. */
export interface Filter {
  readonly json: JsonSchema;
  /** The condition for the values given. Throws FilterError for a value that cannot be. */
  readonly where: (values: readonly string[], request: ApiRequest) => Promise<Sql> | Sql;
  /** Runs user-made patterns: the list gets a time limit. */
  readonly slow?: true;
  /** Several values are given by repeating the parameter, not by a comma list. */
  readonly repeated?: true;
  /** The same as a join that finds each row at most once: what a list uses in place of `where`, since it can be walked in order. */
  readonly asJoin?: { readonly from: Sql; readonly where: Filter['where'] };
  /** How many rows of the resource meet it, where that is kept: for a list that nothing else narrows. */
  readonly total?: (values: readonly string[], request: ApiRequest, resource: Resource) => Promise<number | undefined>;
  /** An empty value is refused by `where`; to others it is as if it were not there. */
  readonly refusesEmpty?: true;
}

/** A value that a filter does not take: 400 with the message under the filter's name. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

const NO_CHOICE = (word: string): string => `Select a valid choice. ${word} is not one of the available choices.`;
const NO_RANGE = 'Range query expects two values.';

/** How Pulp calls the kind of a filter's error, by its message. */
export const errorCode = (message: string): string => {
  if (message.startsWith('Select a valid choice.')) return 'invalid_choice';
  return message === NO_RANGE ? 'invalid_values' : 'invalid';
};

/** The two values of a range. Throws FilterError for any other number of them. */
export function rangeOf([from, to, ...more]: readonly string[]): [from: string, to: string] {
  if (from === undefined || to === undefined || more.length > 0) throw new FilterError(NO_RANGE);
  return [from, to];
}

const last = (values: readonly string[]): string => values[values.length - 1] as string;
const commas = (values: readonly string[]): string[] =>
  last(values)
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
const likePattern = (text: string): string => text.replace(/[\\%_]/g, '\\$&');
const STRING: JsonSchema = { type: 'string' };
const STRINGS: JsonSchema = { type: 'array', items: STRING };

/** The column of a row, by its name in the code: never from a request. */
const column = (name: string): Sql => raw(name);

type Compare = (col: Sql, values: readonly string[]) => Sql;
const textLookups: Partial<Record<Lookup, Compare>> = {
  exact: (col, values) => sql`${col} = ${last(values)}`,
  ne: (col, values) => sql`${col} <> ${last(values)}`,
  iexact: (col, values) => sql`lower(${col}) = lower(${last(values)})`,
  in: (col, values) => sql`${col} = any(${commas(values)})`,
  contains: (col, values) => sql`${col} like ${`%${likePattern(last(values))}%`}`,
  icontains: (col, values) => sql`${col} ilike ${`%${likePattern(last(values))}%`}`,
  startswith: (col, values) => sql`${col} like ${`${likePattern(last(values))}%`}`,
  istartswith: (col, values) => sql`${col} ilike ${`${likePattern(last(values))}%`}`,
  regex: (col, values) => sql`${col} ~ ${last(values)}`,
  iregex: (col, values) => sql`${col} ~* ${last(values)}`,
};

const suffix = (name: string, lookup: Lookup): string => (lookup === 'exact' ? name : `${name}__${lookup}`);
/** A boolean in any spelling. Throws FilterError for what is none. */
export const isBool = (value: string): boolean => {
  if (/^(true|1|t|yes|y|on)$/i.test(value)) return true;
  if (/^(false|0|f|no|n|off)$/i.test(value)) return false;
  throw new FilterError('Enter a valid boolean.');
};

/** The look-ups of a text column. */
export function textFilters(name: string, col: string, lookups: readonly Lookup[]): Record<string, Filter> {
  return Object.fromEntries(
    lookups.map((lookup) => {
      const compare = textLookups[lookup];
      if (!compare) throw new Error(`${name}: text has no look-up ${lookup}`);
      const slow = lookup === 'regex' || lookup === 'iregex' ? { slow: true as const } : {};
      return [
        suffix(name, lookup),
        { json: lookup === 'in' ? STRINGS : STRING, where: (values) => compare(column(col), values), ...slow } satisfies Filter,
      ];
    }),
  );
}

/** The look-ups of a column with an order: `parse` reads one value, `cast` names its SQL type. */
function orderedFilters(
  name: string,
  col: string,
  lookups: readonly Lookup[],
  json: JsonSchema,
  parse: (text: string) => string,
  cast: (value: string) => string,
): Record<string, Filter> {
  const operators: Partial<Record<Lookup, string>> = {
    exact: '=',
    ne: '<>',
    lt: '<',
    lte: '<=',
    gt: '>',
    gte: '>=',
  };
  const value = (text: string) => {
    const parsed = parse(text);
    return sql`${parsed}::${raw(cast(parsed))}`;
  };
  const make = (lookup: Lookup): Filter => {
    if (lookup === 'isnull')
      return {
        json: { type: 'boolean' },
        where: (values) => (isBool(last(values)) ? sql`${column(col)} is null` : sql`${column(col)} is not null`),
      };
    if (lookup === 'in')
      return {
        json: { type: 'array', items: json },
        where: (values) => sql`${column(col)} in (${join(commas(values).map(value))})`,
      };
    if (lookup === 'range') {
      return {
        json: { type: 'array', items: json },
        where: (values) => {
          const [from, to] = rangeOf(commas(values));
          return sql`${column(col)} between ${value(from)} and ${value(to)}`;
        },
      };
    }
    const operator = operators[lookup];
    if (!operator) throw new Error(`${name}: no look-up ${lookup}`);
    return { json, where: (values) => sql`${column(col)} ${raw(operator)} ${value(last(values))}` };
  };
  return Object.fromEntries(lookups.map((lookup) => [suffix(name, lookup), make(lookup)]));
}

/** The look-ups of a timestamp; a date alone is its midnight, UTC. */
export const timeFilters = (name: string, col: string, lookups: readonly Lookup[] = TIME_LOOKUPS): Record<string, Filter> =>
  orderedFilters(
    name,
    col,
    lookups,
    { type: 'string', format: 'date-time' },
    (value) => {
      // A "+" in a query that was not escaped arrives as a blank.
      const given = value.replace(/(\d) (\d{2}:?\d{2})$/, (whole, before: string, zone: string) =>
        value.includes('T') || value.split(' ').length > 2 ? `${before}+${zone}` : whole,
      );
      if (!isDateTime(given)) throw new FilterError('Enter a valid date/time.');
      return given;
    },
    () => 'timestamptz',
  );

export const numberFilters = (name: string, col: string, lookups: readonly Lookup[]): Record<string, Filter> =>
  orderedFilters(
    name,
    col,
    lookups,
    { type: 'integer' },
    (value) => {
      if (!NUMBER.test(value)) throw new FilterError('Enter a number.');
      return value;
    },
    // Whole numbers as such, so that an index is of use; others are beyond every column, and equal to none.
    (value) => (/^-?\d{1,18}$/.test(value) ? 'bigint' : 'numeric'),
  );

const NUMBER = /^[+-]?(\d{1,100}(\.\d{0,100})?|\.\d{1,100})(e[+-]?\d{1,2})?$/i;

export const booleanFilter = (col: string): Filter => ({
  json: { type: 'boolean' },
  where: (values) => sql`${column(col)} = ${isBool(last(values))}`,
});

/** One of a few words; `many` for the comma list `__in`, `repeated` for a parameter that may be given several times. */
export function choiceFilter(col: string, words: readonly string[], kind: 'one' | 'many' | 'repeated' = 'one'): Filter {
  const known = new Set(words);
  const json = { type: 'string', enum: words };
  return {
    json: kind === 'one' ? json : { type: 'array', items: json },
    ...(kind === 'repeated' ? { repeated: true as const } : {}),
    where: (values) => {
      const given = kind === 'many' ? commas(values) : kind === 'repeated' ? values : [last(values)];
      const wrong = given.find((word) => !known.has(word));
      if (wrong !== undefined) throw new FilterError(NO_CHOICE(wrong));
      return sql`${column(col)} = any(${given})`;
    },
  };
}

/** A condition of its own for one text value. */
export const conditionFilter = (
  where: (value: string, request: ApiRequest) => Promise<Sql> | Sql,
  json: JsonSchema = STRING,
): Filter => ({
  json,
  where: (values, request) => where(last(values), request),
});

/** A condition of its own for a comma list. */
export const listFilter = (
  where: (values: readonly string[], request: ApiRequest) => Promise<Sql> | Sql,
  json: JsonSchema = STRINGS,
): Filter => ({
  json,
  where: (values, request) => where(commas(values), request),
});

const UUID = /^[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}$/i;

/** `pulp_id__in`. Of numbered rows the contract speaks of UUIDs too, though none has one; numbers are understood. */
export const idFilter = (numbered: boolean): Filter => ({
  json: { type: 'array', items: { type: 'string', format: 'uuid' } },
  where: (values) => {
    const ids = commas(values);
    // With or without its dashes, in small or large letters.
    if (!ids.every((id) => UUID.test(id) || (numbered && /^\d{1,9}$/.test(id)))) throw new FilterError('Enter a valid UUID.');
    return numbered ? sql`m.id::text = any(${ids})` : sql`m.id = any(${ids}::uuid[])`;
  },
});

/** The filter's condition for the values, without the blanks around them. Turns a FilterError into the 400 that names the filter. */
export async function condition(name: string, filter: Filter, values: readonly string[], request: ApiRequest): Promise<Sql> {
  const trimmed = values.map((value) => value.trim());
  try {
    return await filter.where(trimmed, request);
  } catch (error) {
    if (error instanceof FilterError) throw new ValidationError({ [name]: [error.message] });
    throw error;
  }
}
