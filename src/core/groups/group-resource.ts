import { insertNumbered, updateRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { NotFoundError } from '../../kit/errors.ts';
import { numberFilters } from '../../kit/filters.ts';
import { allow, OWNED_AND_VIEWED, ownerGets, ROLE_ACTIONS, SCOPED } from '../../kit/policy.ts';
import { nameFields } from '../../kit/serialize.ts';
import { described, text } from '../../kit/wire.ts';
import { roleActions } from '../access/role-actions.ts';

const place = { kind: 'groups', plugin: 'core', endpoint: '', model: 'Group' } as const;
const MAX_NAME = 150;

/** Users under one name, who share its roles. */
export const group = defineResource({
  ...place,
  title: ['group', 'groups'],
  description: 'Users under one name, who share its roles.',
  fields: {
    name: {
      wire: text({ max: MAX_NAME }),
      required: true,
      unique: true,
      description: 'Name of the group.',
      lookups: ['exact', 'iexact', 'in', 'contains', 'icontains'],
    },
    ...nameFields(place),
    id: {
      wire: described({ type: 'integer', format: 'int64' }),
      access: 'read',
      description: 'Number of the group.',
      value: (row) => Number(row.id),
    },
  },
  filters: numberFilters('id', 'm.id', ['exact', 'in']),
  ordering: { id: 'm.id', name: 'm.name', pk: 'm.id' },
  verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
  mutation: { create: 'sync', update: 'sync', delete: 'sync' },
  id: 'integer',
  global: true,
  policy: {
    statements: [
      allow(['list', 'retrieve', 'my_permissions']),
      allow(['create'], 'has_model_perms:core.add_group'),
      allow(['update', 'partial_update'], 'has_model_or_obj_perms:core.change_group'),
      allow(['destroy'], 'has_model_or_obj_perms:core.delete_group'),
      allow(ROLE_ACTIONS, 'has_model_or_obj_perms:core.manage_roles_group'),
    ],
    creation_hooks: ownerGets('core.group_owner'),
    queryset_scoping: SCOPED,
  },
  roles: OWNED_AND_VIEWED,
  actions: roleActions,
  select: sql`m.id::text as id, m.name`,
  from: sql`app_group m`,
  store: {
    insert: async (tx, { columns }) => String(await insertNumbered(tx, 'app_group', columns)),
    async update(tx, id, columns) {
      if (!(await updateRow(tx, 'app_group', Number(id), columns))) throw new NotFoundError('Group');
    },
    delete: async (tx, id) => ({ 'core.Group': await tx.execute(sql`delete from app_group where id = ${Number(id)}`) }),
  },
});
