import { insertRow } from '../../db/rows.ts';
import { raw, sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import {
  type Columns,
  defineResource,
  type Field,
  type Fields,
  type ResolveInput,
  type Resource,
  type Row,
  type Store,
} from '../../kit/define-resource.ts';
import { NotFoundError, RequestRefusedError, ValidationError } from '../../kit/errors.ts';
import { conditionFilter, type Filter, textFilters } from '../../kit/filters.ts';
import { collectionPath, hrefOf, isUuid, prnType } from '../../kit/names.ts';
import { permissionsOf } from '../../kit/permissions.ts';
import { isIdOf, noReference, visibleRow } from '../../kit/references.ts';
import { timeFields } from '../../kit/serialize.ts';
import { described, reference, text } from '../../kit/wire.ts';
import { type ObjectColumns, objectColumns, objectOf, onObject } from './role-objects.ts';

const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });

/** What a field names: the columns, and for `validate` whether anything was named at all. */
async function resolveObject(value: unknown, { request }: ResolveInput, wrong: ValidationError): Promise<Columns> {
  if (value === null) return { ...objectColumns(null), object_given: true };
  const located = request.services.catalog.locate(String(value));
  const row = located && located.version === undefined ? await visibleRow(located.resource, located.id, request) : undefined;
  if (!located || !row) throw wrong;
  return { ...objectColumns({ type: prnType(located.resource), id: row.id }), object_given: true };
}

const contentObject: Field = {
  wire: text({ nullable: true }),
  description: 'Path of the object that the role is on; null: everything.',
  value: (row, { catalog }) => {
    const resource = catalog.ofPrnType(String(row.object_type));
    return resource ? hrefOf(resource, String(row.object)) : null;
  },
  resolve: (value, input) => resolveObject(value, input, new ValidationError({ content_object: [`Invalid value: ${value}.`] })),
};

const contentObjectPrn: Field = {
  wire: text({ nullable: true }),
  description: 'Pulp resource name of the object that the role is on; null: everything.',
  value: (row) => (row.object_type === null ? null : `prn:${row.object_type}:${row.object}`),
  resolve: (value, input) => {
    const message = String(value).startsWith('prn:') ? `Invalid value: ${value}.` : `PRN must start with 'prn:': ${value}`;
    return resolveObject(value, input, new ValidationError({ content_object_prn: [message] }));
  },
};

const roleField: Field = {
  wire: text(),
  required: true,
  description: 'Name of the role.',
  async resolve(value, { request }) {
    const [role] = await request.services.db.query<{ id: string; permissions: string[] }>(
      sql`select id, permissions from role where name = ${value}`,
    );
    if (!role) throw new ValidationError({ role: [`Object with name=${value} does not exist.`] });
    return { role_id: role.id, role_name: value, role_permissions: role.permissions };
  },
};

const domainField: Field = {
  wire: reference({ nullable: true }),
  description: 'The domain that the role is on; there is none to choose.',
  value: () => null,
  resolve: (value) => {
    if (value === null) return {};
    throw new ValidationError({ domain: ['Invalid hyperlink - Object does not exist.'] });
  },
};

/** An object has to be named, or null; and the role has to say something about it. */
async function validate({ request, columns }: ResolveInput): Promise<void> {
  const { object_given, role_name, role_permissions, ...rest } = columns;
  if (!object_given)
    throw refuse(
      "Either 'content_object' or 'content_object_prn' needs to be specified. Use 'null' for global or domain level access.",
    );
  const resource = request.services.catalog.ofPrnType(String(rest.object_type));
  if (resource) {
    const permissions = permissionsOf(resource);
    if (!(role_permissions as string[]).some((permission) => permissions.has(permission)))
      throw refuse(`The role '${role_name}' does not carry any permission for that object.`);
  }
  for (const name of ['object_given', 'role_name', 'role_permissions']) delete columns[name];
}

/** An href, or `null` for roles on everything. */
const objectFilter: Filter = conditionFilter((value, { services: { catalog } }: ApiRequest) => {
  if (value === 'null') return onObject('m', null);
  const located = catalog.locate(value);
  if (!located || !isIdOf(located.resource, located.id)) throw new RequestRefusedError(noReference(value));
  return onObject('m', { type: prnType(located.resource), id: located.id });
});

/** Who has the roles: the resource that they are listed below. */
export interface AssignmentKind {
  readonly holder: Resource;
  readonly column: 'user_id' | 'group_id';
  /** `UserRole` */
  readonly model: string;
  readonly title: Resource['title'];
  readonly tag: string;
  /** Name of a member's href in document paths. */
  readonly href: string;
  /** `user`, in messages. */
  readonly word: string;
}

const store = ({ column, word }: AssignmentKind): Store => ({
  async insert(tx, { id, columns }) {
    const [known] = await tx.query(sql`
      select 1 from role_assignment m where m.role_id = ${columns.role_id}::uuid and m.${raw(column)} = ${columns[column]}::int
        and ${onObject('m', objectOf(columns as unknown as ObjectColumns))}`);
    if (known) throw refuse(`The role is already assigned to this ${word}.`);
    await insertRow(tx, 'role_assignment', { id, ...columns });
  },
  update: () => Promise.reject(new Error('roles are given and taken, not changed')),
  delete: async (tx, id) => ({ 'core.UserRole': await tx.execute(sql`delete from role_assignment where id = ${id}::uuid`) }),
});

const fieldsOf = (collection: (row: Row) => string, type: string): Fields => ({
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of this resource.',
    value: (row) => `${collection(row)}${row.id}/`,
  },
  prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name: the other way to refer to this resource.',
    value: (row) => `prn:${type}:${row.id}`,
  },
  ...timeFields,
  role: roleField,
  content_object: contentObject,
  content_object_prn: contentObjectPrn,
  description: { wire: described({ type: 'string' }), access: 'read', description: 'What the role is for.' },
  permissions: {
    wire: described({ type: 'array', items: { type: 'string' } }),
    access: 'read',
    description: 'What the role permits.',
  },
  domain: domainField,
});

/** The roles of users, or of groups: given by POST, taken by DELETE (spec: rbac, endpoints). */
export function roleAssignments(kind: AssignmentKind): Resource {
  const { holder, column, model, title, tag, href } = kind;
  const place = { kind: holder.kind, plugin: 'core', endpoint: holder.endpoint, model } as const;
  const collection = (row: Row) => `${collectionPath(holder)}${row[column]}/roles/`;
  return defineResource({
    ...place,
    title,
    description: 'A role that somebody has: on everything, or on one object.',
    fields: fieldsOf(collection, prnType({ plugin: 'core', model })),
    filters: {
      ...textFilters('role', 'r.name', ['exact', 'in', 'contains', 'icontains', 'startswith']),
      content_object: objectFilter,
      domain: conditionFilter((value) => {
        if (value === 'null') return sql`m.domain_id is null`;
        throw new RequestRefusedError(noReference(value));
      }),
    },
    ordering: { description: 'r.description', pk: 'm.id', pulp_created: 'm.pulp_created', role: 'r.name' },
    verbs: ['list', 'create', 'read', 'delete'],
    mutation: { create: 'sync', delete: 'sync' },
    global: true,
    nested: {
      parent: holder,
      segment: 'roles',
      tag,
      memberParam: 'role_id',
      href,
      below: (row) => ({ [column]: Number(row.id) }),
      where: (params, member) => {
        if (!member) return sql`m.${raw(column)} = ${params.pulp_id}::int`;
        if (!isUuid(params.role_id ?? '')) throw new NotFoundError();
        return sql`m.${raw(column)} = ${params.pulp_id}::int and m.id = ${params.role_id}::uuid`;
      },
    },
    validate,
    select: sql`m.*, coalesce(m.object_id::text, m.object_group_id::text) as object, r.name as role, r.description, r.permissions`,
    from: sql`role_assignment m join role r on r.id = m.role_id`,
    store: store(kind),
  });
}
