import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import { type FieldErrors, ValidationError } from '../../kit/errors.ts';
import type { ObjectName } from '../../kit/policy.ts';
import { objectColumns, onObject } from './role-objects.ts';

/** A role and who is to have it, as a client names them. */
export interface NestedRole {
  readonly role: string;
  readonly users: readonly string[];
  readonly groups: readonly string[];
}

interface Found {
  readonly role: { readonly id: string; readonly permissions: readonly string[] };
  readonly users: readonly Holder[];
  readonly groups: readonly Holder[];
}

interface Holder {
  readonly id: number;
  readonly name: string;
}

const missing = (kind: 'username' | 'name', names: readonly string[], found: readonly Holder[]): { [index: string]: string[] } =>
  Object.fromEntries(
    names.flatMap((name, index) =>
      found.some((holder) => holder.name === name) ? [] : [[String(index), [`Object with ${kind}=${name} does not exist.`]]],
    ),
  );

/** What the names stand for. Throws ValidationError with each that is not there. */
async function findNamed(db: Queryable, { role, users, groups }: NestedRole): Promise<Found> {
  const [foundRole] = await db.query<Found['role']>(sql`select id, permissions from role where name = ${role}`);
  const foundUsers = await db.query<Holder>(
    sql`select id, username as name from app_user where username = any(${users}::text[])`,
  );
  const foundGroups = await db.query<Holder>(sql`select id, name from app_group where name = any(${groups}::text[])`);
  const errors: FieldErrors = {};
  const lostUsers = missing('username', users, foundUsers);
  const lostGroups = missing('name', groups, foundGroups);
  if (Object.keys(lostUsers).length > 0) errors.users = lostUsers;
  if (Object.keys(lostGroups).length > 0) errors.groups = lostGroups;
  if (!foundRole) errors.role = [`Object with name=${role} does not exist.`];
  if (!foundRole || Object.keys(errors).length > 0) throw new ValidationError(errors);
  return { role: foundRole, users: foundUsers, groups: foundGroups };
}

const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });

/** The names of those who are in the way: of users first, then of groups. */
async function first(db: Queryable, found: Found, object: ObjectName, has: boolean): Promise<string | undefined> {
  const [one] = await db.query<{ kind: string; name: string }>(sql`
    with wanted as (
      select 'user' as kind, u.id, u.username as name from app_user u where u.id = any(${found.users.map(({ id }) => id)}::int[])
      union all
      select 'group', g.id, g.name from app_group g where g.id = any(${found.groups.map(({ id }) => id)}::int[])
    )
    select kind, name from wanted w where ${has} = exists (
      select from role_assignment ra where ra.role_id = ${found.role.id}::uuid and ${onObject('ra', object)}
        and case when w.kind = 'user' then ra.user_id = w.id else ra.group_id = w.id end)
    order by kind desc, name limit 1`);
  return one && `${one.kind} '${one.name}'`;
}

/** Gives the role on the object to all of them. Throws ValidationError where one has it already, or it says nothing about such an object. */
export async function assignRole(
  tx: Queryable,
  named: NestedRole,
  object: ObjectName,
  permissions: ReadonlySet<string>,
): Promise<void> {
  const found = await findNamed(tx, named);
  if (!found.role.permissions.some((permission) => permissions.has(permission))) {
    throw refuse('The role does not contain any permission for that object.');
  }
  const known = await first(tx, found, object, true);
  if (known) throw refuse(`The role is already assigned to ${known}.`);
  const { object_type, object_id, object_group_id } = objectColumns(object);
  const holders = [
    ...found.users.map((user) => ({ user: user.id, group: null })),
    ...found.groups.map((holder) => ({ user: null, group: holder.id })),
  ];
  await tx.execute(sql`
    insert into role_assignment (id, role_id, user_id, group_id, object_type, object_id, object_group_id)
    select w.id, ${found.role.id}::uuid, w.user_id, w.group_id, ${object_type}, ${object_id}::uuid, ${object_group_id}::int
    from unnest(${holders.map(() => uuid7())}::uuid[], ${holders.map((holder) => holder.user)}::int[],
      ${holders.map((holder) => holder.group)}::int[]) as w(id, user_id, group_id)
    on conflict do nothing`);
}

/** Takes the role on the object from all of them. Throws ValidationError where one does not have it. */
export async function removeRole(tx: Queryable, named: NestedRole, object: ObjectName): Promise<void> {
  const found = await findNamed(tx, named);
  const without = await first(tx, found, object, false);
  if (without) throw refuse(`The role is not assigned to ${without}.`);
  await tx.execute(sql`
    delete from role_assignment ra where ra.role_id = ${found.role.id}::uuid and ${onObject('ra', object)}
      and (ra.user_id = any(${found.users.map(({ id }) => id)}::int[]) or ra.group_id = any(${found.groups.map(({ id }) => id)}::int[]))`);
}

/** The roles on an object with the names of those who have them, in order of name. */
export const rolesOn = (db: Queryable, object: ObjectName): Promise<NestedRole[]> =>
  db.query<NestedRole>(sql`
    select r.name as role,
      coalesce(array_agg(u.username order by u.username) filter (where u.id is not null), '{}') as users,
      coalesce(array_agg(g.name order by g.name) filter (where g.id is not null), '{}') as groups
    from role_assignment ra join role r on r.id = ra.role_id
      left join app_user u on u.id = ra.user_id left join app_group g on g.id = ra.group_id
    where ${onObject('ra', object)} group by r.name order by r.name`);
