import { sql } from '../../db/sql.ts';
import { noteObject } from '../../kit/audit-note.ts';
import { responseComponent } from '../../kit/components.ts';
import { type Action, defineResource, type Fields, type Row } from '../../kit/define-resource.ts';
import { NotFoundError, RequestRefusedError } from '../../kit/errors.ts';
import { prnOf, userHref } from '../../kit/names.ts';
import { allow } from '../../kit/policy.ts';
import { serialize } from '../../kit/serialize.ts';
import { described, text } from '../../kit/wire.ts';
import { group } from './group-resource.ts';

/** Of the path; a number that is none addresses nobody. */
function userId({ user_id = '' }: Readonly<Record<string, string>>): number {
  if (!/^\d{1,9}$/.test(user_id)) throw new NotFoundError();
  return Number(user_id);
}

const fields: Fields = {
  username: { wire: text({ max: 150 }), required: true, description: 'Name of the user.' },
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of the user.',
    value: ({ id }) => userHref(Number(id)),
  },
  prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name of the user.',
    value: ({ id }) => prnOf('auth', 'User', id),
  },
};

/** Puts a user into the group; one who is in it already stays. Throws RequestRefusedError where there is no such user. */
const addUser: Action = {
  method: 'post',
  on: 'collection',
  suffix: '',
  summary: 'Put a user into a group',
  body: { component: 'GroupUser', fields },
  responses: [{ status: 201, component: responseComponent('GroupUser', fields) }],
  async run({ request, body: { username } }) {
    const { db } = request.services;
    const groupId = Number(request.params.pulp_id);
    noteObject(request, group, String(groupId));
    const [user] = await db.query<Row>(sql`select id::text as id, username from app_user where username = ${username}`);
    if (!user) throw new RequestRefusedError(`Could not find user ${username}`);
    await db.execute(sql`
      insert into app_group_member (group_id, user_id) values (${groupId}, ${Number(user.id)}) on conflict do nothing`);
    return { status: 201, headers: { location: userHref(Number(user.id)) }, body: serialize(groupUsers, user, request.services) };
  },
};

const removeUser: Action = {
  method: 'delete',
  suffix: '',
  summary: 'Take a user out of a group',
  responses: [{ status: 204 }],
  async run({ request, row }) {
    const groupId = Number(request.params.pulp_id);
    noteObject(request, group, String(groupId));
    request.audit.before = { username: row.username };
    await request.services.db.execute(
      sql`delete from app_group_member where group_id = ${groupId} and user_id = ${Number(row.id)}`,
    );
    return { status: 204 };
  },
};

/** The users of a group. */
export const groupUsers = defineResource({
  kind: 'groups',
  plugin: 'core',
  endpoint: '',
  model: 'User',
  component: 'GroupUser',
  title: ['user of a group', 'users of a group'],
  description: 'A user who is in a group.',
  fields,
  ordering: {},
  unfiltered: true,
  verbs: ['list'],
  policy: {
    statements: [
      allow(['list'], 'has_group_model_or_obj_perms:core.view_group'),
      allow(['create'], 'has_group_model_or_obj_perms:core.change_group'),
      allow(['destroy'], 'has_group_model_or_obj_perms:core.change_group'),
    ],
  },
  actions: { create: addUser, delete: removeUser },
  nested: {
    parent: group,
    segment: 'users',
    tag: 'Groups: Users',
    memberParam: 'user_id',
    href: 'groups_user_href',
    // Any user can be taken out, who is not in the group too (spec: rbac, endpoints).
    where: (params, member) =>
      member
        ? sql`m.id = ${userId(params)}`
        : sql`m.id in (select user_id from app_group_member where group_id = ${Number(params.pulp_id)})`,
  },
  select: sql`m.id::text as id, m.username`,
  from: sql`app_user m`,
});
