import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import type { Caller } from '../../kit/api.ts';
import type { ObjectName } from '../../kit/policy.ts';
import { idColumn, onObject } from './role-objects.ts';

/** Condition over a role assignment `ra`: it is the user's own or one of a group that he is in. */
const ofUser = (userId: number): Sql =>
  sql`(ra.user_id = ${userId}::int or ra.group_id = any(array(select gm.group_id from app_group_member gm where gm.user_id = ${userId}::int)))`;

/**
 * A select of the ids of all objects of a PRN type on which the user holds the permission by a role. One query whatever the
 * number of roles; it reads the tables as they are, so that a change counts for the next request on every process.
 */
export function heldOn(userId: number, permission: string, type: string): Sql {
  // Each part is answered by an index. As one condition they would be taken for more than they are: who has many roles on repositories has not
  // as many on tasks, and all tasks would be walked in search of his.
  const held = (whose: Sql) => sql`
    select ra.${idColumn(type)} from role_assignment ra where ${whose} and ra.object_type = ${type}
      and ra.role_id = any(array(select r.id from role r where r.permissions @> array[${permission}::text]))`;
  return sql`${held(sql`ra.user_id = ${userId}::int`)} union all
    ${held(sql`ra.group_id = any(array(select gm.group_id from app_group_member gm where gm.user_id = ${userId}::int))`)}`;
}

type Held = ReadonlySet<string>;

/** What one caller holds, read when it is first asked for: a caller lives for one request. */
export class HeldPermissions {
  readonly #db: Queryable;
  readonly #userId: number;
  readonly #objects = new Map<string | null, Promise<Held>>();

  constructor(db: Queryable, caller: Caller) {
    this.#db = db;
    this.#userId = caller.id;
  }
  async holds(permission: string, object?: ObjectName): Promise<boolean> {
    if ((await this.#on(null)).has(permission)) return true;
    return object !== undefined && (await this.#on(object)).has(permission);
  }

  /** Permissions by roles on an object, or on everything; those on a domain count as such, for there is one domain. */
  #on(object: ObjectName | null): Promise<Held> {
    const key = object && `${object.type}:${object.id}`;
    const known = this.#objects.get(key);
    if (known) return known;
    const read = this.#read(object);
    this.#objects.set(key, read);
    return read;
  }

  async #read(object: ObjectName | null): Promise<Held> {
    const rows = await this.#db.query<{ permission: string }>(sql`
      select distinct unnest(r.permissions) as permission from role_assignment ra join role r on r.id = ra.role_id
      where ${ofUser(this.#userId)} and ${onObject('ra', object)}`);
    return new Set(rows.map((row) => row.permission));
  }
}
