import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { genericBaseFields, typeFilters } from '../generic-fields.ts';
import {
  REPOSITORY_FILTERS,
  REPOSITORY_ORDERING,
  repositoryColumns,
  repositoryFields,
  repositoryJoins,
} from './repository-fields.ts';

/** Every type that the contract names: a client may ask for any. */
const TYPES = ['container.container', 'container.container-push', 'core.openpgp', 'file.file', 'ostree.ostree'];

/** All repositories of all types, with what they have in common. */
export const genericRepository: Resource = {
  kind: 'repositories',
  plugin: 'core',
  endpoint: '',
  model: 'Repository',
  title: ['repository', 'repositories'],
  description: 'Repositories of every type.',
  fields: { ...genericBaseFields('repositories'), ...repositoryFields('') },
  filters: {
    ...REPOSITORY_FILTERS,
    ...typeFilters(TYPES, 'repository'),
  },
  ordering: REPOSITORY_ORDERING,
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: repositoryColumns,
  counted: { table: 'repository' },
  from: sql`repository m ${repositoryJoins}`,
};
