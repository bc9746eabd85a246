import { insertNumbered } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import { callerOf } from '../../kit/api.ts';
import { defineResource, type Row } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { groupHref, prnOf } from '../../kit/names.ts';
import { hiddenFields, nameFields } from '../../kit/serialize.ts';
import { bool, described } from '../../kit/wire.ts';
import { hashPassword } from '../../lib/password-hash.ts';
import { checkPassword, type PasswordOwner } from './password-rules.ts';
import { passwordWire, personFields } from './user-fields.ts';
import { deleteUser, updateUser } from './user-row.ts';

const place = { kind: 'users', plugin: 'core', endpoint: '', model: 'User', prn: 'auth.user' } as const;

interface UserGroup {
  readonly id: number;
  readonly name: string;
}

const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });

/** A user; only administrators deal with users (spec: rbac, endpoints). */
export const user = defineResource({
  ...place,
  title: ['user', 'users'],
  description: 'Somebody, or something, that can log in.',
  fields: {
    ...nameFields(place),
    id: {
      wire: described({ type: 'integer', format: 'int64' }),
      access: 'read',
      description: 'Number of the user.',
      value: (row) => Number(row.id),
    },
    ...personFields,
    is_staff: { wire: bool(), default: false, description: 'Without meaning; kept for clients of Pulp.', lookups: ['exact'] },
    is_active: { wire: bool(), default: true, description: 'Whether the user can log in.', lookups: ['exact'] },
    date_joined: {
      wire: described({ type: 'string', format: 'date-time' }),
      access: 'read',
      description: 'When the user was made.',
    },
    groups: {
      wire: described({
        type: 'array',
        items: {
          type: 'object',
          properties: {
            name: { type: 'string' },
            pulp_href: { type: 'string', format: 'uri', readOnly: true },
            prn: { type: 'string', readOnly: true },
          },
          required: ['name'],
        },
      }),
      access: 'read',
      description: 'The groups that the user is in.',
      // A group is `core.group` by itself, and `auth.group` in here (spec: core, addressing).
      value: ({ groups }) =>
        (groups as UserGroup[]).map(({ id, name }) => ({ name, pulp_href: groupHref(id), prn: prnOf('auth', 'Group', id) })),
    },
    hidden_fields: hiddenFields((row) => [['password', row.password !== null]]),
    password: {
      wire: passwordWire,
      access: 'write',
      description: 'The password; null: the user cannot log in with one.',
    },
  },
  ordering: {
    date_joined: 'm.date_joined',
    email: 'm.email',
    first_name: 'm.first_name',
    id: 'm.id',
    is_active: 'm.is_active',
    is_staff: 'm.is_staff',
    is_superuser: 'm.is_superuser',
    last_login: 'm.last_login',
    last_name: 'm.last_name',
    // Hashes have no order that would tell anything good.
    password: null,
    pk: 'm.id',
    username: 'm.username',
  },
  verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
  mutation: { create: 'sync', update: 'sync', delete: 'sync' },
  id: 'integer',
  global: true,
  hrefParameter: 'auth_user_href',
  select: sql`
    m.id::text as id, m.username, m.first_name, m.last_name, m.email, m.is_staff, m.is_active, m.date_joined, m.password,
    coalesce((
      select jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name) order by g.id)
      from app_group_member gm join app_group g on g.id = gm.group_id where gm.user_id = m.id), '[]') as groups`,
  from: sql`app_user m`,
  async validate({ request, columns, row }) {
    if (row && columns.is_active === false && isCaller(row, callerOf(request).id))
      throw refuse('You cannot deactivate yourself.');
    if (typeof columns.password !== 'string') return;
    await checkPassword(columns.password, { ...NOBODY, ...row, ...columns } as PasswordOwner);
    columns.password = await hashPassword(columns.password);
  },
  async mayDelete(row, request) {
    if (isCaller(row, callerOf(request).id)) throw refuse('You cannot delete yourself.');
  },
  store: {
    insert: async (tx, { columns }) => String(await insertNumbered(tx, 'app_user', columns)),
    update: (tx, id, columns) => updateUser(tx, Number(id), columns),
    delete: async (tx, id) => ({ 'auth.User': await deleteUser(tx, Number(id)) }),
  },
});

const NOBODY: PasswordOwner = { username: '', first_name: '', last_name: '', email: '' };
const isCaller = (row: Row, id: number): boolean => Number(row.id) === id;
