import { isDeepStrictEqual } from 'node:util';
import { v7 as uuid7 } from 'uuid';
import { raw, sql } from '../db/sql.ts';
import type { ApiReply, ApiRequest } from './api.ts';
import { noteObject, noteValues } from './audit-note.ts';
import { parseBody } from './body.ts';
import { UNIQUE_MESSAGE, uniqueViolation } from './conflicts.ts';
import type { Columns, Resource, Row } from './define-resource.ts';
import { type FieldErrors, ValidationError } from './errors.ts';
import { generalCreate, generalDelete, generalMultiDelete, generalUpdate, storeOf } from './general-tasks.ts';
import { prnType, resourceKey } from './names.ts';
import { enterCollection, idOf, rowFor } from './references.ts';
import { serialize } from './serialize.ts';

const readOnlyNames = (resource: Resource): ReadonlySet<string> =>
  new Set([
    ...Object.keys(resource.fields).filter((name) => resource.fields[name]?.access === 'read'),
    'hidden_fields',
    'pulp_type',
  ]);

const tableOf = (resource: Resource, name: string): string =>
  (resource.fields[name]?.column ?? `m.${name}`).split('.')[1] as string;
const prn = (resource: Resource, id: string): string => `prn:${prnType(resource)}:${id}`;

/** What a secret is bound to at rest: table, column and row (security rule 1). */
export const secretPlace = (kind: string, column: string, id: string): string => `${kind.replace(/s$/, '')}:${column}:${id}`;

/** Turns parsed fields into columns to write: references to ids, secrets to ciphertexts, names checked to be free. */
async function resolveColumns(
  resource: Resource,
  parsed: Readonly<Record<string, unknown>>,
  request: ApiRequest,
  id: string,
  row?: Row,
): Promise<Columns> {
  const columns: Columns = {};
  const errors: FieldErrors = {};
  for (const [name, value] of Object.entries(parsed)) {
    const field = resource.fields[name];
    if (!field) throw new Error(`${name} is no field of ${resourceKey(resource)}`);
    try {
      if (field.resolve) Object.assign(columns, await field.resolve(value, { request, columns, ...(row ? { row } : {}) }));
      else if (field.secret)
        columns[name] =
          value === null ? null : request.services.secrets.seal(String(value), secretPlace(resource.kind, name, id));
      else columns[tableOf(resource, name)] = value;
      if (field.unique && (row === undefined || row[name] !== value)) await checkFree(resource, name, value, request, id);
    } catch (error) {
      if (!(error instanceof ValidationError)) throw error;
      Object.assign(errors, error.body);
    }
  }
  if (Object.keys(errors).length > 0) throw new ValidationError(errors);
  await resource.validate?.({ request, columns, ...(row ? { row } : {}) });
  return columns;
}

/** Names are unique in a domain across all plugins: the master table is asked, not the resource (spec: core, errors). */
async function checkFree(resource: Resource, name: string, value: unknown, request: ApiRequest, id: string): Promise<void> {
  const table = masterTable(resource);
  const domain = resource.global ? sql`true` : sql`domain_id = ${request.services.domain.id}::uuid`;
  const [taken] = await request.services.db.query(
    sql`select 1 from ${raw(table)} where ${domain} and ${raw(name)} = ${value} and id::text <> ${id} limit 1`,
  );
  if (taken) throw new ValidationError({ [name]: [UNIQUE_MESSAGE] });
}

/** The table behind alias `m`: the first word of `from`. */
const masterTable = (resource: Resource): string => resource.from.strings.join('').trim().split(/\s+/)[0] as string;

/** POST on the collection. */
export async function createRow(resource: Resource, request: ApiRequest): Promise<ApiReply> {
  const parent = await enterCollection(resource, 'create', request);
  const parsed = parseBody(request.body, {
    fields: resource.fields,
    partial: false,
    form: request.form,
    ignored: readOnlyNames(resource),
    ...(resource.renamed ? { renamed: resource.renamed } : {}),
  });
  const { services } = request;
  const id = uuid7();
  noteValues(request, resource.fields, parsed);
  const columns = await resolveColumns(resource, parsed, request, id);
  if (parent) Object.assign(columns, resource.nested?.below?.(parent));
  if (resource.mutation?.create === 'task') {
    const exclusive = resource.creation?.holds(columns) ?? [];
    const definition = exclusive.length > 0 ? { ...generalCreate, immediate: false } : generalCreate;
    const task = await request.dispatch(definition, { resource: resourceKey(resource), id, columns }, { exclusive });
    noteObject(request, resource, id);
    return { status: 202, body: { task: task.href } };
  }
  const made = await uniqueViolation(resource, () =>
    services.db.transaction(async (tx) => {
      const own = (made: Resource, madeId: string) => services.access.created(tx, made, madeId, request.caller?.id ?? null);
      const known = (await storeOf(resource).insert(tx, { id, domain_id: services.domain.id, columns, own })) ?? id;
      await own(resource, known);
      return known;
    }),
  );
  noteObject(request, resource, made);
  const answer = serialize(resource, await writtenRow(resource, made, request), services);
  return { status: 201, headers: { location: String(answer.pulp_href) }, body: answer };
}

/** A row that the caller has just written, whatever he may see from now on. */
async function writtenRow(resource: Resource, id: string, { services }: ApiRequest): Promise<Row> {
  const [row] = await services.db.query<Row>(
    sql`select ${resource.select} from ${resource.from} where m.id = ${idOf(resource, id)}`,
  );
  if (!row) throw new Error(`${resourceKey(resource)} ${id} is not there after it was written`);
  return row;
}

/** PUT and PATCH: 200 with the resource where nothing changes or changes are made at once, else a task (spec: core, sync vs async). */
export async function updateRow(resource: Resource, request: ApiRequest, partial: boolean): Promise<ApiReply> {
  const row = await rowFor(resource, partial ? 'partial_update' : 'update', request);
  noteObject(request, resource, row.id);
  await resource.mayUpdate?.(row, request);
  const parsed = parseBody(request.body, {
    fields: resource.fields,
    partial,
    form: request.form,
    ignored: readOnlyNames(resource),
    ...(resource.renamed ? { renamed: resource.renamed } : {}),
  });
  noteValues(request, resource.fields, parsed, row);
  const columns = await resolveColumns(resource, parsed, request, row.id, row);
  const changed = Object.fromEntries(
    Object.entries(columns).filter(([name, value]) => !isDeepStrictEqual(value, row[name] ?? null)),
  );
  if (Object.keys(changed).length === 0) return { status: 200, body: serialize(resource, row, request.services) };
  if (resource.mutation?.update === 'sync') return changeNow(resource, row.id, changed, request);
  const task = await request.dispatch(
    generalUpdate,
    { resource: resourceKey(resource), id: row.id, columns: changed },
    { exclusive: [prn(resource, row.id)] },
  );
  return { status: 202, body: { task: task.href } };
}

async function changeNow(resource: Resource, id: string, changed: Columns, request: ApiRequest): Promise<ApiReply> {
  const { db } = request.services;
  await uniqueViolation(resource, () => db.transaction((tx) => storeOf(resource).update(tx, id, changed)));
  resource.changed?.(request.services);
  return { status: 200, body: serialize(resource, await writtenRow(resource, id, request), request.services) };
}

/** DELETE: done at once (204), or a task that holds the row. */
export async function deleteRow(resource: Resource, request: ApiRequest): Promise<ApiReply> {
  const row = await rowFor(resource, 'destroy', request);
  noteObject(request, resource, row.id);
  request.audit.before = serialize(resource, row, request.services);
  await resource.mayDelete?.(row, request);
  if (resource.mutation?.delete === 'sync') {
    await request.services.db.transaction((tx) => storeOf(resource).delete(tx, row.id));
    return { status: 204 };
  }
  const general = resource.multiDelete ? generalMultiDelete : generalDelete;
  const along = resource.deletesToo ? await resource.deletesToo(row, request.services) : [];
  const definition = resource.slowDelete || along.length > 0 ? { ...general, immediate: false } : general;
  const task = await request.dispatch(
    definition,
    { resource: resourceKey(resource), id: row.id },
    { exclusive: [prn(resource, row.id), ...along] },
  );
  return { status: 202, body: { task: task.href } };
}
