import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { timeFields } from '../../kit/serialize.ts';
import { genericBaseFields, typeFilters } from '../generic-fields.ts';
import { GUARD_ORDERING, guardFields } from './define-content-guard.ts';

/** Every type that the contract names: a client may ask for any. */
const TYPES = [
  'certguard.rhsm',
  'certguard.x509',
  'core.composite',
  'core.content_redirect',
  'core.envvar_header',
  'core.header',
  'core.rbac',
];

/** All content guards of all types, with what they have in common. */
export const genericGuard: Resource = {
  kind: 'contentguards',
  plugin: 'core',
  endpoint: '',
  model: 'ContentGuard',
  title: ['content guard', 'content guards'],
  description: 'Content guards of every type.',
  fields: { ...genericBaseFields('contentguards'), ...timeFields, ...guardFields },
  filters: typeFilters(TYPES, 'content_guard'),
  ordering: GUARD_ORDERING,
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: sql`m.*`,
  counted: { table: 'content_guard' },
  from: sql`content_guard m`,
};
