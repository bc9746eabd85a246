import type { Queryable } from '../../db/database.ts';
import { raw, type Sql, sql } from '../../db/sql.ts';
import type { Caller } from '../../kit/api.ts';
import type { ObjectName } from '../../kit/policy.ts';

/** PRN type of groups: the only objects that are named by a number. */
const GROUP = 'core.group';

/** Condition over a role assignment `ra`: it is the user's own or one of a group that he is in. */
const ofUser = (userId: number): Sql =>
  sql`(ra.user_id = ${userId}::int or ra.group_id = any(array(select gm.group_id from app_group_member gm where gm.user_id = ${userId}::int)))`;

/** Condition over a role assignment `ra`: it is on this object. */
const onObject = ({ type, id }: ObjectName): Sql =>
  type === GROUP ? sql`ra.object_group_id = ${id}::int` : sql`ra.object_id = ${id}::uuid and ra.object_type = ${type}`;

/**
 * A select of the ids of all objects of a PRN type on which the user holds the permission by a role. One query whatever the
 * number of roles; it reads the tables as they are, so that a change counts for the next request on every process.
 */
export function heldOn(userId: number, permission: string, type: string): Sql {
  const object = raw(type === GROUP ? 'ra.object_group_id' : 'ra.object_id');
  // Each part is answered by an index. As one condition they would be taken for more than they are: who has many roles on repositories has not
  // as many on tasks, and all tasks would be walked in search of his.
  const held = (whose: Sql) => sql`
    select ${object} from role_assignment ra where ${whose} and ra.object_type = ${type}
      and ra.role_id = any(array(select r.id from role r where r.permissions @> array[${permission}::text]))`;
  return sql`${held(sql`ra.user_id = ${userId}::int`)} union all
    ${held(sql`ra.group_id = any(array(select gm.group_id from app_group_member gm where gm.user_id = ${userId}::int))`)}`;
}

type Held = ReadonlySet<string>;

/** What one caller holds, read when it is first asked for: a caller lives for one request. */
export class HeldPermissions {
  readonly #db: Queryable;
  readonly #userId: number;
  #everywhere: Promise<Held> | undefined;
  readonly #objects = new Map<string, Promise<Held>>();

  constructor(db: Queryable, caller: Caller) {
    this.#db = db;
    this.#userId = caller.id;
  }

  /** Permissions on everything; those of a domain count too, for there is one domain. */
  everywhere(): Promise<Held> {
    this.#everywhere ??= this.#read(sql`ra.object_type is null`);
    return this.#everywhere;
  }

  /** Permissions on an object by roles on it. */
  on(object: ObjectName): Promise<Held> {
    const key = `${object.type}:${object.id}`;
    const known = this.#objects.get(key);
    if (known) return known;
    const read = this.#read(onObject(object));
    this.#objects.set(key, read);
    return read;
  }

  async holds(permission: string, object?: ObjectName): Promise<boolean> {
    if ((await this.everywhere()).has(permission)) return true;
    return object !== undefined && (await this.on(object)).has(permission);
  }

  async #read(where: Sql): Promise<Held> {
    const rows = await this.#db.query<{ permission: string }>(sql`
      select distinct unnest(r.permissions) as permission from role_assignment ra join role r on r.id = ra.role_id
      where ${ofUser(this.#userId)} and ${where}`);
    return new Set(rows.map((row) => row.permission));
  }
}
