import { allow, may, mayAnywhere, ownerGets, type Policy, ROLE_ACTIONS, SCOPED, type Statement } from '../../kit/policy.ts';

/** Who may do what with a kind of content guard, as Pulp's own policies say it (spec: rbac). `model` in lower case. */
export const guardPolicy = (
  model: string,
  more: readonly Statement[] = [],
  roles: readonly string[] = [`core.${model}_owner`],
): Policy => ({
  statements: [
    allow(['list', 'retrieve', 'my_permissions']),
    allow(['create'], mayAnywhere(`core.add_${model}`)),
    allow(['update', 'partial_update'], may(`core.change_${model}`)),
    allow(['destroy'], may(`core.delete_${model}`)),
    ...more,
    allow(ROLE_ACTIONS, may(`core.manage_roles_${model}`)),
  ],
  creation_hooks: ownerGets(roles),
  queryset_scoping: SCOPED,
});
