import type { Catalog } from './catalog.ts';
import type { BuiltInRole, Resource } from './define-resource.ts';
import { permissionOf } from './names.ts';

/** A role that is there from the first start and cannot be changed. */
export interface LockedRole {
  readonly name: string;
  readonly description: string | null;
  /** In order of name. */
  readonly permissions: readonly string[];
}

/** Verbs that every model has a permission for. */
const VERBS = ['add', 'change', 'delete', 'view'];

const listOf = (role: BuiltInRole): readonly string[] => ('permissions' in role ? role.permissions : role);

/** Every permission that can be held on rows of the resource, or, for `add`, on all of them. */
export const permissionsOf = (resource: Resource): ReadonlySet<string> =>
  new Set(
    [...VERBS, ...(resource.permissions ?? []), ...Object.values(resource.roles ?? {}).flatMap(listOf)].map((verb) =>
      permissionOf(resource, verb),
    ),
  );

const locked = (name: string, role: BuiltInRole, resource?: Resource): LockedRole => ({
  name,
  description: 'description' in role ? role.description : null,
  permissions: [...new Set(listOf(role).map((verb) => (resource ? permissionOf(resource, verb) : verb)))].sort(),
});

/** The built-in roles: those of resources, `container.containerremote_owner`, and those that plugins spell out. */
export const lockedRoles = (catalog: Catalog): LockedRole[] => [
  ...catalog.resources.flatMap((resource) =>
    Object.entries(resource.roles ?? {}).map(([end, role]) =>
      locked(`${resource.plugin}.${resource.model.toLowerCase()}_${end}`, role, resource),
    ),
  ),
  ...catalog.plugins.flatMap((plugin) => Object.entries(plugin.roles ?? {}).map(([name, role]) => locked(name, role))),
];

/** Every permission that a role can hold. */
export const everyPermission = (catalog: Catalog): ReadonlySet<string> =>
  new Set([
    ...catalog.resources.filter((resource) => !resource.nested).flatMap((resource) => [...permissionsOf(resource)]),
    ...lockedRoles(catalog).flatMap((role) => role.permissions),
  ]);
