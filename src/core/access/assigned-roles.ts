import { group } from '../groups/group-resource.ts';
import { user } from '../users/user-resource.ts';
import { roleAssignments } from './assignment-resource.ts';

/** The roles of users. */
export const userRoles = roleAssignments({
  holder: user,
  column: 'user_id',
  model: 'UserRole',
  title: ['user role', 'user roles'],
  tag: 'Users: Roles',
  href: 'auth_users_user_role_href',
  word: 'user',
});

/** The roles of groups. */
export const groupRoles = roleAssignments({
  holder: group,
  column: 'group_id',
  model: 'GroupRole',
  title: ['group role', 'group roles'],
  tag: 'Groups: Roles',
  href: 'groups_group_role_href',
  word: 'group',
});
