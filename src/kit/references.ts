import { raw, type Sql, sql } from '../db/sql.ts';
import { type ApiRequest, callerOf } from './api.ts';
import type { Resource, Row } from './define-resource.ts';
import { NotFoundError, ValidationError } from './errors.ts';
import { isUuid } from './names.ts';
import type { Services } from './services.ts';

const INTEGER = /^\d{1,9}$/;
const idType = (resource: Resource) => raw(resource.id === 'integer' ? 'int' : 'uuid');

/** Whether the text can be the id of a row. */
export const isIdOf = (resource: Resource, id: string): boolean => (resource.id === 'integer' ? INTEGER.test(id) : isUuid(id));
/** The id of a row, as SQL compares it. */
export const idOf = (resource: Resource, id: string): Sql => sql`${id}::${idType(resource)}`;

/** Condition over `m`: its id is one of these. */
export const isOneOf = (resource: Resource, ids: readonly string[]): Sql => sql`m.id = any(${ids}::${idType(resource)}[])`;

/** The row of a resource that the caller may see, or undefined. Every look-up by a client's word passes here (security rule 6). */
export async function visibleRow(resource: Resource, id: string, request: ApiRequest): Promise<Row | undefined> {
  if (!isIdOf(resource, id)) return undefined;
  const scope = await request.services.access.scope(callerOf(request), resource);
  const [row] = await request.services.db.query<Row>(sql`
    select ${resource.select} from ${resource.from}
    where m.id = ${idOf(resource, id)} ${resource.only ? sql`and ${resource.only}` : raw('')} ${scope ? sql`and ${scope}` : raw('')}`);
  return row;
}

/** Those of the ids that are of rows of the resource which the caller may see. */
export async function visibleIds(resource: Resource, ids: readonly string[], request: ApiRequest): Promise<string[]> {
  const scope = await request.services.access.scope(callerOf(request), resource);
  const rows = await request.services.db.query<{ id: string }>(sql`
    select m.id from ${resource.from}
    where ${isOneOf(resource, ids)} ${resource.only ? sql`and ${resource.only}` : raw('')} ${scope ? sql`and ${scope}` : raw('')}`);
  return rows.map((row) => row.id);
}

/** Whether the caller sees a row that is known to be there; nothing is asked for one who sees all. */
export async function isVisible(resource: Resource, id: string, request: ApiRequest): Promise<boolean> {
  const scope = await request.services.access.scope(callerOf(request), resource);
  return scope === undefined || (await visibleIds(resource, [id], request)).length > 0;
}

/** Lets the caller do something with a collection. Answers the row that it is below, if it is nested. Throws what `Access.check` does. */
export async function enterCollection(resource: Resource, action: string, request: ApiRequest): Promise<Row | undefined> {
  await request.services.access.admit(request, resource, action);
  const parent = resource.nested ? await addressedRow(resource.nested.parent, request) : undefined;
  await request.services.access.check(request, resource, action);
  return parent;
}

/** The row that a path's values address, with which the caller may do it. Throws what `addressedRow` and `Access.check` do. */
export async function rowFor(resource: Resource, action: string, request: ApiRequest): Promise<Row> {
  // Before the row is looked up: whether there is one is no business of those who may never do it.
  await request.services.access.admit(request, resource, action);
  const row = await addressedRow(resource, request);
  await request.services.access.check(request, resource, action, row);
  return row;
}

/** The row that a path's values address, if the caller sees it. Throws NotFoundError in the recorded words. */
async function addressedRow(resource: Resource, request: ApiRequest): Promise<Row> {
  const { nested } = resource;
  if (!nested) {
    const id = request.params.pulp_id ?? '';
    if (!isIdOf(resource, id)) throw new NotFoundError();
    const row = await visibleRow(resource, id, request);
    if (!row) throw new NotFoundError(resource.model);
    return row;
  }
  await addressedRow(nested.parent, request);
  const [row] = await request.services.db.query<Row>(
    sql`select ${resource.select} from ${resource.from} where ${nested.where(request.params, true)}`,
  );
  if (!row) throw new NotFoundError(resource.model);
  return row;
}

/**
 * The row that a body's href or PRN names, where it is of one of the resources and visible to the caller.
 * Throws ValidationError under the field's name.
 */
export async function resolveReference(
  field: string,
  value: string,
  resources: readonly Resource[],
  request: ApiRequest,
): Promise<{ resource: Resource; row: Row }> {
  const located = request.services.catalog.locate(value);
  if (!located) throw new ValidationError({ [field]: [noMatch(value)] });
  const resource = resources.find((candidate) => candidate === located.resource);
  const row = resource && located.version === undefined ? await visibleRow(resource, located.id, request) : undefined;
  if (!resource || !row) throw new ValidationError({ [field]: ['Invalid hyperlink - Object does not exist.'] });
  return { resource, row };
}

/** What is said of a text in a place where hrefs and PRNs of any resource are taken. */
export const noReference = (value: string): string =>
  value.startsWith('/') || /^https?:/.test(value) || !value.includes(':')
    ? `URI not valid: ${value}`
    : `Not a valid PRN: ${value}, must start with 'prn:'`;

const PRN = /^prn:([^.:]+\.[^.:]+):([^:]+)$/;
const MEMBER = /^(?:https?:\/\/[^/]+)?(\/.*\/)([^/]+)\/$/;
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** What is said of a filter's value that is no href or PRN of any resource: of one with a bad id, and of what looks like neither. */
export function malformedReference(
  value: string,
  { catalog }: Services,
  { badId = 'ID invalid', neither = 'URI not valid' } = {},
): string {
  if (value.startsWith('prn:')) {
    const [, model, id] = PRN.exec(value) ?? [];
    if (model === undefined) return `PRN must be of the form 'prn:app_label.model_label:pk': ${value}`;
    return catalog.locate(`prn:${model}:${NO_ID}`) ? `${badId}: ${id}` : `Model ${model} does not exist`;
  }
  const [, collection, id] = MEMBER.exec(value) ?? [];
  return collection !== undefined && catalog.locate(`${collection}${NO_ID}/`) ? `${badId}: ${id}` : `${neither}: ${value}`;
}

/** What is said of a text that names nothing: one that looks like a path, like a PRN, or like neither. */
export function noMatch(value: string): string {
  if (value.startsWith('prn:')) return `Not a valid PRN: ${value}.`;
  return value.startsWith('/') || /^https?:\/\//.test(value)
    ? 'Invalid hyperlink - Object does not exist.'
    : 'Invalid hyperlink - No URL match.';
}
