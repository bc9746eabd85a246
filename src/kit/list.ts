import { empty, join, raw, type Sql, sql } from '../db/sql.ts';
import { type ApiRequest, callerOf } from './api.ts';
import { lastOf } from './body.ts';
import type { Resource, Row } from './define-resource.ts';
import { RequestRefusedError, ValidationError } from './errors.ts';
import { type Expression, ExpressionError, parseExpression } from './expression.ts';
import {
  booleanFilter,
  condition,
  errorCode,
  type Filter,
  idFilter,
  listFilter,
  numberFilters,
  textFilters,
  timeFilters,
} from './filters.ts';
import { parseReference } from './names.ts';
import { isIdOf, isOneOf } from './references.ts';
import { keptCount } from './row-counts.ts';
import { runSlowQueries } from './slow-queries.ts';

const DEFAULT_LIMIT = 100;
/** Beside the filters, what every list understands. */
const CONTROLS = new Set(['limit', 'offset', 'ordering', 'q', 'fields', 'exclude_fields', 'format', 'minimal']);

/** All filters of a resource, by parameter name: look-ups of its fields, its own, and those of every list. */
export function filtersOf(resource: Resource): ReadonlyMap<string, Filter> {
  if (resource.unfiltered) return new Map();
  const filters: Record<string, Filter> = {};
  for (const [name, field] of Object.entries(resource.fields)) {
    const lookups = field.lookups ?? [];
    if (lookups.length === 0) continue;
    const column = field.column ?? `m.${name}`;
    const type = String(field.wire.json.format === 'date-time' ? 'date-time' : [field.wire.json.type].flat()[0]);
    if (type === 'date-time') Object.assign(filters, timeFilters(name, column, lookups));
    else if (type === 'integer') Object.assign(filters, numberFilters(name, column, lookups));
    else if (type === 'boolean') filters[name] = booleanFilter(column);
    else Object.assign(filters, textFilters(name, column, lookups));
  }
  Object.assign(filters, resource.filters);
  filters.pulp_href__in = referenceList('href', resource);
  filters.prn__in = referenceList('prn', resource);
  if (resource.id !== 'none') filters.pulp_id__in = idFilter(resource.id === 'integer');
  return new Map(Object.entries(filters));
}

/** What is said of a text that is not of the form that `pulp_href__in` or `prn__in` takes. */
const wrongForm = (text: string, by: 'href' | 'prn'): string => {
  if (by === 'href') return `URI not valid: ${text}`;
  return text.startsWith('prn:')
    ? `PRN not valid: [${text
        .split(':')
        .map((part) => `'${part}'`)
        .join(', ')}]`
    : `Not a valid PRN: ${text}, must start with 'prn:'`;
};

/** `pulp_href__in`, `prn__in`: what does not name a row of the list matches none. */
const referenceList = (by: 'href' | 'prn', resource: Resource): Filter =>
  listFilter((texts) => {
    const references = texts.map((text) => {
      const reference = parseReference(text);
      if (!reference || (by === 'prn' && reference.by !== by)) throw new RequestRefusedError(wrongForm(text, by));
      return reference;
    });
    const versions = references.flatMap((r) =>
      r.by === 'href' && r.version !== undefined ? [sql`(m.repository_id = ${r.id}::uuid and m.number = ${r.version}::int)`] : [],
    );
    const ids = references.flatMap((r) => (r.by === 'href' && r.version !== undefined ? [] : [r.id]));
    const byId = isOneOf(
      resource,
      ids.filter((id) => isIdOf(resource, id)),
    );
    return versions.length > 0 ? sql`(${join(versions, ' or ')})` : byId;
  });

/** Answers how many rows there are, where that is kept. */
type Total = () => Promise<number | undefined>;

/** For a list of all rows of a resource. */
const totalOf = ({ counted }: Resource, { services }: ApiRequest): Total | undefined =>
  counted && (() => keptCount(services.db, counted.table, counted.pulpType === undefined ? undefined : [counted.pulpType]));

/** What a list is counted from, and under which condition beside its own. */
function countedFrom({ from, counted }: Resource, where: Sql): { from: Sql; where: Sql } {
  if (!counted?.from) return { from, where };
  const type = counted.pulpType === undefined ? sql`true` : sql`m.pulp_type = ${counted.pulpType}`;
  return { from: counted.from, where: where === empty ? sql`where ${type}` : sql`${where} and ${type}` };
}

/** The condition that a list's query asks for. Throws ValidationError for names and values that cannot be. */
async function whereOf(
  resource: Resource,
  filters: ReadonlyMap<string, Filter>,
  request: ApiRequest,
): Promise<{ joins: Sql; where: Sql; slow: boolean; scoped: boolean; total: Total | undefined }> {
  const conditions: Sql[] = [];
  const totals: (Total | undefined)[] = [];
  const joins: Sql[] = [];
  let slow = false;
  for (const [name, values] of resource.unfiltered ? [] : Object.entries(request.query)) {
    if (CONTROLS.has(name) || Object.hasOwn(resource.reduced ?? {}, name)) continue;
    const filter = filters.get(name);
    if (!filter) throw new ValidationError({ errors: [`Invalid Filter: '${name}'`] });
    refuseNul(name, values);
    if (asksNothing(filter, values.at(-1))) continue;
    slow ||= filter.slow === true;
    const { total } = filter;
    totals.push(
      total &&
        (() =>
          total(
            values.map((value) => value.trim()),
            request,
            resource,
          )),
    );
    if (filter.asJoin) joins.push(filter.asJoin.from);
    conditions.push(await condition(name, filter.asJoin ? { ...filter, where: filter.asJoin.where } : filter, values, request));
  }
  const q = resource.unfiltered ? undefined : lastOf(request.query, 'q');
  if (q?.trim()) {
    refuseNul('q', [q]);
    totals.push(undefined);
    slow = true;
    conditions.push(await expressionCondition(q, filters, request));
  }
  const scope = await request.services.access.scope(callerOf(request), resource);
  for (const fixed of [resource.only, scope, resource.nested?.where(request.params, false)]) if (fixed) conditions.push(fixed);
  return {
    joins: joins.length > 0 ? join(joins, ' ') : empty,
    where: conditions.length > 0 ? sql`where ${join(conditions, ' and ')}` : empty,
    slow,
    scoped: scope !== undefined,
    total:
      scope || resource.nested || totals.length > 1 ? undefined : totals.length === 1 ? totals[0] : totalOf(resource, request),
  };
}

/** A filter without a value is none, except those that refuse it (spec: core, shaping and filtering). */
const asksNothing = (filter: Filter, value = ''): boolean => value.trim() === '' && !filter.refusesEmpty;

const refuseNul = (name: string, values: readonly string[]): void => {
  if (values.some((value) => value.includes('\0') || !value.isWellFormed()))
    throw new ValidationError({ [name]: ['Null characters are not allowed.'] });
};

async function expressionCondition(q: string, filters: ReadonlyMap<string, Filter>, request: ApiRequest): Promise<Sql> {
  const refuse = (message: string) => new ValidationError({ q: [message] });
  const build = async (expression: Expression): Promise<Sql> => {
    // What a condition says nothing of, as it is null, does not meet it.
    if (expression.kind === 'not') return sql`(${await build(expression.part)}) is not true`;
    if (expression.kind !== 'term') return sql`(${join(await Promise.all(expression.parts.map(build)), ` ${expression.kind} `)})`;
    if (expression.filter === 'q') throw refuse("You cannot use 'q' in complex filtering.");
    if (expression.filter === 'ordering') throw refuse('An ordering filter cannot be used in complex filtering.');
    const filter = filters.get(expression.filter);
    if (!filter) throw refuse(`Filter '${expression.filter}' does not exist.`);
    if (asksNothing(filter, expression.value)) return sql`true`;
    try {
      return await condition(expression.filter, filter, [expression.value], request);
    } catch (error) {
      if (!(error instanceof ValidationError)) throw error;
      throw refuse(pythonLike(error.body as Record<string, string[]>));
    }
  };
  try {
    return await build(parseExpression(q));
  } catch (error) {
    if (error instanceof ExpressionError) throw refuse(error.message);
    throw error;
  }
}

/** `{"retain_repo_versions": [{"message": "Enter a number.", "code": "invalid"}]}`: how Pulp words a bad value inside q. */
const pythonLike = (errors: Record<string, string[]>): string =>
  `{${Object.entries(errors)
    .map(
      ([name, messages]) =>
        `"${name}": [${messages.map((message) => `{"message": ${JSON.stringify(message)}, "code": "${errorCode(message)}"}`).join(', ')}]`,
    )
    .join(', ')}}`;

function orderOf(resource: Resource, request: ApiRequest): Sql {
  const given = (resource.unfiltered ? '' : (lastOf(request.query, 'ordering') ?? ''))
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const terms = given.map((name) => {
    const [descending, key] = name.startsWith('-') ? [true, name.slice(1)] : [false, name];
    if (!Object.hasOwn(resource.ordering, key))
      throw new ValidationError({ ordering: [`Select a valid choice. ${name} is not one of the available choices.`] });
    const column = resource.ordering[key];
    return column ? `${column} ${descending ? 'desc nulls last' : 'asc nulls first'}` : '';
  });
  const fallback = resource.defaultOrder ?? 'm.id desc';
  return raw([...terms.filter((term) => term !== ''), fallback].join(', '));
}

/** Out of the ordinary paging values are taken as the default (spec: core, pagination). */
function pageOf(request: ApiRequest): { limit: number; offset: number } {
  const number = (name: string) => {
    const text = lastOf(request.query, name) ?? '';
    return /^\d{1,15}$/.test(text) ? Number(text) : 0;
  };
  return { limit: number('limit') || DEFAULT_LIMIT, offset: number('offset') };
}

/** `next` and `previous`: the request's own URL with another offset, parameters in order of name. */
function pageLink(request: ApiRequest, limit: number, offset: number): string {
  const query = new URLSearchParams();
  const names = [...new Set([...Object.keys(request.query), 'limit', 'offset'])].sort();
  for (const name of names) {
    if (name === 'limit') query.append('limit', String(limit));
    else if (name === 'offset') {
      if (offset > 0) query.append('offset', String(offset));
    } else for (const value of request.query[name] ?? []) query.append(name, value);
  }
  return `${request.origin}${request.path}?${query}`;
}

export interface Page {
  readonly count: number;
  readonly next: string | null;
  readonly previous: string | null;
  readonly rows: Row[];
}

/** The page of rows that a request asks for. */
export async function listRows(resource: Resource, filters: ReadonlyMap<string, Filter>, request: ApiRequest): Promise<Page> {
  const { limit, offset } = pageOf(request);
  const { joins, where, slow, scoped, total } = await whereOf(resource, filters, request);
  const rowsQuery = sql`select ${resource.select} from ${resource.from} ${joins} ${where} order by ${orderOf(resource, request)} limit ${limit}::bigint offset ${offset}::bigint`;
  const counted = countedFrom(resource, where);
  const countQuery = sql`select count(*) as count from ${counted.from} ${joins} ${counted.where}`;
  const { db } = request.services;
  const run = async (target: Pick<typeof db, 'query'>) => {
    // What is best for one with few roles is worst for one with many.
    const rows = await target.query<Row>(rowsQuery, { planAnew: scoped });
    // A page that is not full says itself how many there are.
    if (rows.length < limit && (rows.length > 0 || offset === 0)) return { rows, count: offset + rows.length };
    const known = await total?.();
    if (known !== undefined) return { rows, count: known };
    const [counted] = await target.query<{ count: number }>(countQuery, { planAnew: scoped });
    return { rows, count: counted?.count ?? 0 };
  };
  const { rows, count } = slow ? await runSlowQueries(request.services, run) : await run(db);
  return {
    count,
    next: offset + limit < count ? pageLink(request, limit, offset + limit) : null,
    previous: offset > 0 ? pageLink(request, limit, Math.max(0, offset - limit)) : null,
    rows,
  };
}
