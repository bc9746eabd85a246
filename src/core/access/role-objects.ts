import { raw, type Sql, sql } from '../../db/sql.ts';
import type { ObjectName } from '../../kit/policy.ts';

/*
 * A role assignment names its object by PRN type and id. Conditions are equalities, which indexes answer: there are two assignments for each
 * task that was ever dispatched and is kept.
 */

/** PRN type of groups: the only objects that are named by a number. */
const GROUP = 'core.group';

/** How a role assignment keeps its object; all null: the role is on everything. */
export interface ObjectColumns {
  readonly object_type: string | null;
  readonly object_id: string | null;
  readonly object_group_id: string | null;
}

/** The columns for an object; null: everything. */
export function objectColumns(object: ObjectName | null): ObjectColumns {
  if (object === null) return { object_type: null, object_id: null, object_group_id: null };
  const { type, id } = object;
  return type === GROUP
    ? { object_type: type, object_id: null, object_group_id: id }
    : { object_type: type, object_id: id, object_group_id: null };
}

/** The object that the columns name; null: everything. */
export function objectOf({ object_type: type, object_id, object_group_id }: ObjectColumns): ObjectName | null {
  const id = object_id ?? object_group_id;
  return type === null || id === null ? null : { type, id };
}

/** The column that has the ids of objects of a type. */
export const idColumn = (type: string): Sql => raw(type === GROUP ? 'object_group_id' : 'object_id');

/** Condition over the role assignment of this alias: it is on this object; null: on everything. */
export function onObject(alias: 'm' | 'ra', object: ObjectName | null): Sql {
  const of = raw(alias);
  if (object === null) return sql`${of}.object_type is null`;
  const { type, id } = object;
  return sql`${of}.${idColumn(type)} = ${id}::${raw(type === GROUP ? 'int' : 'uuid')} and ${of}.object_type = ${type}`;
}
