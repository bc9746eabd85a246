import type { Queryable } from '../../db/database.ts';
import { type Component, callerOf } from '../../kit/api.ts';
import { responseComponent } from '../../kit/components.ts';
import type { Action, Fields, Resource, Row } from '../../kit/define-resource.ts';
import { prnType } from '../../kit/names.ts';
import { permissionsOf } from '../../kit/permissions.ts';
import type { ObjectName } from '../../kit/policy.ts';
import { list, text } from '../../kit/wire.ts';
import { assignRole, type NestedRole, removeRole, rolesOn } from './role-assignments.ts';

const NESTED_ROLE: Fields = {
  users: { wire: list(text()), default: [], description: 'Names of users.' },
  groups: { wire: list(text()), default: [], description: 'Names of groups.' },
  role: { wire: text(), required: true, description: 'Name of the role.' },
};
const NESTED_ROLE_RESPONSE = responseComponent('NestedRole', NESTED_ROLE);

const OBJECT_ROLES: Component = {
  name: 'ObjectRolesResponse',
  json: { type: 'object', properties: { roles: { type: 'array', items: NESTED_ROLE_RESPONSE.json } }, required: ['roles'] },
};
const MY_PERMISSIONS: Component = {
  name: 'MyPermissionsResponse',
  json: { type: 'object', properties: { permissions: { type: 'array', items: { type: 'string' } } }, required: ['permissions'] },
};

const objectOf = (resource: Resource, row: Row): ObjectName => ({ type: prnType(resource), id: row.id });

const listRoles: Action = {
  method: 'get',
  summary: 'List the roles on this object',
  responses: [{ status: 200, component: OBJECT_ROLES }],
  run: async ({ request, resource, row }) => ({
    status: 200,
    body: { roles: await rolesOn(request.services.db, objectOf(resource, row)) },
  }),
};

/** Gives or takes a role on the object. */
const changeRole = (
  summary: string,
  change: (tx: Queryable, named: NestedRole, object: ObjectName, resource: Resource) => Promise<void>,
): Action => ({
  method: 'post',
  summary,
  body: { component: 'NestedRole', fields: NESTED_ROLE },
  responses: [{ status: 201, component: NESTED_ROLE_RESPONSE }],
  async run({ request, resource, row, body }) {
    const named = body as unknown as NestedRole;
    await request.services.db.transaction((tx) => change(tx, named, objectOf(resource, row), resource));
    return { status: 201, body };
  },
});

const myPermissions: Action = {
  method: 'get',
  summary: 'List the permissions that the caller has on this object',
  responses: [{ status: 200, component: MY_PERMISSIONS }],
  async run({ request, resource, row }) {
    const { access } = request.services;
    const caller = callerOf(request);
    const permissions: string[] = [];
    // `add` is a right on the collection, which no object gives.
    for (const permission of permissionsOf(resource))
      if (!permission.includes('.add_') && (await access.holds(caller, permission, objectOf(resource, row))))
        permissions.push(permission);
    return { status: 200, body: { permissions } };
  },
};

/** The roles on an object: who has them, giving and taking them, and what the caller may do with it (spec: rbac, endpoints). */
export const roleActions: Readonly<Record<'list_roles' | 'add_role' | 'remove_role' | 'my_permissions', Action>> = {
  list_roles: listRoles,
  add_role: changeRole('Give users and groups a role on this object', (tx, named, object, resource) =>
    assignRole(tx, named, object, permissionsOf(resource)),
  ),
  remove_role: changeRole('Take a role on this object from users and groups', removeRole),
  my_permissions: myPermissions,
};
