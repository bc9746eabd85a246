import { raw, sql } from '../db/sql.ts';
import { type ApiRequest, callerOf } from './api.ts';
import type { Resource, Row } from './define-resource.ts';
import { NotFoundError, ValidationError } from './errors.ts';
import { isUuid, permissionOf } from './names.ts';

const isId = (resource: Resource, id: string): boolean => (resource.byId === false ? true : isUuid(id));

/** The row of a resource that the caller may see, or undefined. Every look-up by a client's word passes here (security rule 6). */
export async function visibleRow(resource: Resource, id: string, request: ApiRequest): Promise<Row | undefined> {
  if (!isId(resource, id)) return undefined;
  const scope = request.caller ? await request.access.scope(request.caller, permissionOf(resource, 'view')) : undefined;
  const [row] = await request.services.db.query<Row>(sql`
    select ${resource.select} from ${resource.from}
    where m.id = ${id}::uuid ${resource.only ? sql`and ${resource.only}` : raw('')} ${scope ? sql`and ${scope}` : raw('')}`);
  return row;
}

/** Those of the ids that are of rows of the resource which the caller may see. */
export async function visibleIds(resource: Resource, ids: readonly string[], request: ApiRequest): Promise<string[]> {
  const scope = await request.access.scope(callerOf(request), permissionOf(resource, 'view'));
  const rows = await request.services.db.query<{ id: string }>(sql`
    select m.id from ${resource.from}
    where m.id = any(${ids}::uuid[]) ${resource.only ? sql`and ${resource.only}` : raw('')} ${scope ? sql`and ${scope}` : raw('')}`);
  return rows.map((row) => row.id);
}

/** The row that a path's values address. Throws NotFoundError in the recorded words. */
export async function addressedRow(resource: Resource, request: ApiRequest): Promise<Row> {
  const { nested } = resource;
  if (!nested) {
    const id = request.params.pulp_id ?? '';
    if (!isId(resource, id)) throw new NotFoundError();
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

/** What is said of a text that names nothing: one that looks like a path, like a PRN, or like neither. */
export function noMatch(value: string): string {
  if (value.startsWith('prn:')) return `Not a valid PRN: ${value}.`;
  return value.startsWith('/') || /^https?:\/\//.test(value)
    ? 'Invalid hyperlink - Object does not exist.'
    : 'Invalid hyperlink - No URL match.';
}
