import { raw, type Sql, sql } from '../../db/sql.ts';
import { groupHref, prnOf, userHref } from '../../kit/names.ts';
import { allow, may, OWNED_AND_VIEWED } from '../../kit/policy.ts';
import { described } from '../../kit/wire.ts';
import { defineContentGuard } from './define-content-guard.ts';
import { guardPolicy } from './guard-policy.ts';

/** What others need to let somebody pass: a role with this permission, on the guard or on all. */
const DOWNLOAD = 'core.download_rbaccontentguard';

const named = (name: string, more: object) => ({
  type: 'array',
  items: {
    type: 'object',
    properties: {
      [name]: { type: 'string', maxLength: 150 },
      pulp_href: { type: 'string', format: 'uri', readOnly: true },
      prn: { type: 'string', readOnly: true },
      ...more,
    },
    required: [name],
  },
});

interface Named {
  readonly id: number;
  readonly name: string;
}

/** Users or groups with a role of their own, on the guard `m` or on all, that lets them download; a list of `Named`. */
const downloaders = (table: 'app_user' | 'app_group', name: string, holder: string): Sql => sql`(
  select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.${raw(name)}) order by t.id), '[]') from ${raw(table)} t
  where t.id in (
    select ra.${raw(holder)} from role_assignment ra join role r on r.id = ra.role_id
    where r.permissions @> array[${DOWNLOAD}::text] and (
      (ra.object_id = m.id and ra.object_type = 'core.rbaccontentguard') or (ra.object_id is null and ra.object_group_id is null))))`;

/** Lets users pass who may download. */
export const rbacGuard = defineContentGuard({
  endpoint: 'rbac',
  model: 'RBACContentGuard',
  title: ['RBAC content guard', 'RBAC content guards'],
  description: 'Lets users pass who log in and have the permission to download.',
  fields: {
    users: {
      wire: described(named('username', {})),
      access: 'read',
      description: 'Users who have a role on this guard, or on all, that lets them download.',
      value: ({ users }) =>
        (users as Named[]).map(({ id, name }) => ({ username: name, pulp_href: userHref(id), prn: prnOf('auth', 'User', id) })),
    },
    groups: {
      wire: described(named('name', { id: { type: 'integer', format: 'int64', readOnly: true } })),
      access: 'read',
      description: 'Groups that have a role on this guard, or on all, which lets their users download.',
      value: ({ groups }) =>
        (groups as Named[]).map(({ id, name }) => ({ name, pulp_href: groupHref(id), prn: prnOf('core', 'Group', id), id })),
    },
  },
  columns: sql`, ${downloaders('app_user', 'username', 'user_id')} as users, ${downloaders('app_group', 'name', 'group_id')} as groups`,
  policy: guardPolicy(
    'rbaccontentguard',
    [allow(['download'], may(DOWNLOAD))],
    ['core.rbaccontentguard_owner', 'core.rbaccontentguard_downloader'],
  ),
  roles: { ...OWNED_AND_VIEWED, downloader: [DOWNLOAD] },
  hrefParameter: 'r_b_a_c_content_guard_href',
});
