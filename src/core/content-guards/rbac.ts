import { allow, may, OWNED_AND_VIEWED } from '../../kit/policy.ts';
import { described } from '../../kit/wire.ts';
import { defineContentGuard } from './define-content-guard.ts';
import { guardPolicy } from './guard-policy.ts';

/** What others need to let somebody pass: a role with this permission, on the guard or on all. */
const DOWNLOAD = 'core.download_rbaccontentguard';

const named = (name: string, more: object) => ({
  type: 'array',
  items: {
    type: 'object',
    properties: {
      [name]: { type: 'string', maxLength: 150 },
      pulp_href: { type: 'string', format: 'uri', readOnly: true },
      prn: { type: 'string', readOnly: true },
      ...more,
    },
    required: [name],
  },
});

/** Lets users pass who may download. */
export const rbacGuard = defineContentGuard({
  endpoint: 'rbac',
  model: 'RBACContentGuard',
  title: ['RBAC content guard', 'RBAC content guards'],
  description: 'Lets users pass who log in and have the permission to download.',
  fields: {
    users: {
      wire: described(named('username', {})),
      access: 'read',
      description: 'Users who have a role on this guard that lets them download.',
      value: () => [],
    },
    groups: {
      wire: described(named('name', { id: { type: 'integer', format: 'int64', readOnly: true } })),
      access: 'read',
      description: 'Groups that have a role on this guard which lets their users download.',
      value: () => [],
    },
  },
  policy: guardPolicy(
    'rbaccontentguard',
    [allow(['download'], may(DOWNLOAD))],
    ['core.rbaccontentguard_owner', 'core.rbaccontentguard_downloader'],
  ),
  roles: { ...OWNED_AND_VIEWED, downloader: [DOWNLOAD] },
  hrefParameter: 'r_b_a_c_content_guard_href',
});
