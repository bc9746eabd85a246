import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { genericBaseFields, typeFilters } from '../generic-fields.ts';
import { REMOTE_FILTERS, REMOTE_ORDERING, remoteFields } from './remote-fields.ts';

/** Every type that the contract names: a client may ask for any. */
const TYPES = ['container.container', 'container.pull-through', 'file.file', 'file.git', 'ostree.ostree'];

/** All remotes of all types, with what they have in common. */
export const genericRemote: Resource = {
  kind: 'remotes',
  plugin: 'core',
  endpoint: '',
  model: 'Remote',
  component: 'GenericRemote',
  title: ['remote', 'remotes'],
  description: 'Remotes of every type.',
  fields: { ...genericBaseFields('remotes'), ...remoteFields(['immediate', 'on_demand', 'streamed']) },
  filters: {
    ...REMOTE_FILTERS,
    ...typeFilters(TYPES, 'remote'),
  },
  ordering: REMOTE_ORDERING,
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: sql`m.*`,
  counted: { table: 'remote' },
  from: sql`remote m`,
};
