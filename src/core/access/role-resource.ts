import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { type Columns, defineResource, type Row } from '../../kit/define-resource.ts';
import { PermissionDeniedError, RequestRefusedError, ValidationError } from '../../kit/errors.ts';
import { booleanFilter, conditionFilter, type Filter, FilterError, type Lookup, NAME_LOOKUPS } from '../../kit/filters.ts';
import { collectionPath } from '../../kit/names.ts';
import { everyPermission, permissionsOf } from '../../kit/permissions.ts';
import { baseFields } from '../../kit/serialize.ts';
import { tableStore } from '../../kit/store.ts';
import { described, list, text } from '../../kit/wire.ts';

const place = { kind: 'roles', plugin: 'core', endpoint: '', model: 'Role' } as const;
const DESCRIPTION_LOOKUPS: readonly Lookup[] = ['exact', 'contains', 'icontains', 'iexact'];

/** Built-in roles are what the code says they are. */
async function refuseLocked(row: Row): Promise<void> {
  if (row.locked) throw new PermissionDeniedError('The role is locked.');
}

/** Throws ValidationError for the first permission that nothing has. Answers them in order, each once. */
function known(permissions: readonly string[], { services }: ApiRequest): string[] {
  const all = everyPermission(services.catalog);
  const wrong = permissions.find((permission) => !all.has(permission));
  if (wrong !== undefined) throw new ValidationError({ permissions: [`Permission '${wrong}' does not exist.`] });
  return [...new Set(permissions)].sort();
}

/** Roles that hold one of the permissions. */
const containsPermission: Filter = {
  json: { type: 'array', items: { type: 'string' } },
  repeated: true,
  where: (values, { services }) => {
    const all = everyPermission(services.catalog);
    const wrong = values.find((permission) => !all.has(permission));
    if (wrong !== undefined) throw new FilterError(`Permission '${wrong}' does not exist.`);
    return sql`m.permissions && ${values}::text[]`;
  },
};

/** Roles that say something about objects like the one that an href names, or about those of a collection. */
const forObjectType: Filter = conditionFilter((value, { services: { catalog } }) => {
  const path = value.replace(/^https?:\/\/[^/]+/, '');
  const resource = path.startsWith('/')
    ? (catalog.locate(path)?.resource ?? catalog.resources.find((one) => !one.nested && collectionPath(one) === path))
    : undefined;
  if (!resource) throw new RequestRefusedError(`URI not valid: ${value}`);
  return sql`m.permissions && ${[...permissionsOf(resource)]}::text[]`;
});

const plain = tableStore({ master: 'role', global: true, counted: ['core.Role'] });
/** Structures are written as JSON; this column is an array. */
const withArray = (columns: Columns): Columns =>
  columns.permissions === undefined ? columns : { ...columns, permissions: sql`${columns.permissions}::text[]` };

/** A named set of permissions (spec: rbac); only administrators make and change roles. */
export const role = defineResource({
  ...place,
  title: ['role', 'roles'],
  description: 'A role: a named set of permissions, given to users and groups on everything or on one object.',
  fields: {
    ...baseFields(place),
    name: { wire: text(), required: true, unique: true, lookups: NAME_LOOKUPS, description: 'A unique name for this role.' },
    description: {
      wire: text({ nullable: true }),
      lookups: DESCRIPTION_LOOKUPS,
      description: 'What it is for.',
    },
    permissions: {
      wire: list(text()),
      required: true,
      description: 'What it permits, as <app>.<permission>.',
      resolve: (value, { request }) => ({ permissions: known(value as string[], request) }),
    },
    locked: {
      wire: described({ type: 'boolean' }),
      access: 'read',
      description: 'Whether it is built in, and cannot be changed.',
    },
  },
  filters: {
    locked: booleanFilter('m.locked'),
    contains_permission: containsPermission,
    for_object_type: forObjectType,
  },
  ordering: {
    description: 'm.description',
    locked: 'm.locked',
    name: 'm.name',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
  },
  global: true,
  verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
  mutation: { create: 'sync', update: 'sync', delete: 'sync' },
  mayUpdate: refuseLocked,
  mayDelete: refuseLocked,
  select: sql`m.*`,
  from: sql`role m`,
  store: {
    ...plain,
    insert: (tx, row) => plain.insert(tx, { ...row, columns: withArray(row.columns) }),
    update: (tx, id, columns) => plain.update(tx, id, withArray(columns)),
  },
});
