import { sql } from '../../db/sql.ts';
import type { Access, Caller, Guarded } from '../../kit/api.ts';
import { NotAuthenticatedError, PermissionDeniedError } from '../../kit/errors.ts';

/** A permission by its wire name, `<app>.<codename>`: `container.pull_containerdistribution`. */
export type Permission = `${string}.${string}`;

/** What is asked for: as much of the object as decides about it. */
export interface Subject extends Guarded {
  /** Readable by everyone, logged in or not (a distribution with `private: false`). */
  readonly public?: boolean;
}

/** Permissions that a public object gives to everybody. */
const PUBLIC: ReadonlySet<string> = new Set<Permission>(['container.pull_containerdistribution']);

/**
 * Whether the caller (null: nobody is logged in) holds the permission, on the object if one is given. A superuser holds
 * all, everybody holds the public ones; spec: rbac.
 */
export async function permitted(caller: Caller | null, permission: string, object?: Subject): Promise<boolean> {
  return caller?.is_superuser === true || (object?.public === true && PUBLIC.has(permission));
}

/** Returns where `permitted` says yes. Throws NotAuthenticatedError (401), or PermissionDeniedError (403) for a known caller. */
export async function authorize(caller: Caller | null, permission: string, object?: Subject): Promise<void> {
  if (await permitted(caller, permission, object)) return;
  throw caller ? new PermissionDeniedError() : new NotAuthenticatedError();
}

/** The permission seam of the REST API. */
export const access: Access = {
  check: authorize,
  scope: async (caller) => (caller.is_superuser ? undefined : sql`false`),
};
