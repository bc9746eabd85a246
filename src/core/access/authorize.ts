import type { User } from '../users/authenticate.ts';

/** A permission by its wire name, `<app>.<codename>`: `container.pull_containerdistribution`. */
export type Permission = `${string}.${string}`;

/** What is asked for: as much of the object as decides about it. */
export interface Guarded {
  /** Readable by everyone, logged in or not (a distribution with `private: false`). */
  readonly public?: boolean;
}

/** 401: nobody is logged in, and the operation is not for everybody. */
export class NotAuthenticatedError extends Error {
  override readonly name = 'NotAuthenticatedError';
  constructor() {
    super('Authentication credentials were not provided.');
  }
}

/** 403: the user may see the object but not do this to it. */
export class PermissionDeniedError extends Error {
  override readonly name = 'PermissionDeniedError';
  readonly permission: Permission;
  constructor(permission: Permission) {
    super('You do not have permission to perform this action.');
    this.permission = permission;
  }
}

/** Permissions that a public object gives to everybody. */
const PUBLIC: ReadonlySet<Permission> = new Set<Permission>(['container.pull_containerdistribution']);

/**
 * Whether `user` (null: nobody is logged in) holds the permission, on the object if one is given. A superuser holds all,
 * everybody holds the public ones; spec: rbac.
 */
export async function permitted(user: User | null, permission: Permission, object?: Guarded): Promise<boolean> {
  return user?.is_superuser === true || (object?.public === true && PUBLIC.has(permission));
}

/** Returns where `permitted` says yes. Throws NotAuthenticatedError, or PermissionDeniedError for a known user. */
export async function authorize(user: User | null, permission: Permission, object?: Guarded): Promise<void> {
  if (await permitted(user, permission, object)) return;
  throw user ? new PermissionDeniedError(permission) : new NotAuthenticatedError();
}
