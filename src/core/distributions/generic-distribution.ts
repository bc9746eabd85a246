import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { genericBaseFields, typeFilters } from '../generic-fields.ts';
import {
  baseUrl,
  DISTRIBUTION_FILTERS,
  DISTRIBUTION_ORDERING,
  distributionColumns,
  distributionFields,
  distributionJoins,
} from './distribution-fields.ts';

/** Every type that the contract names: a client may ask for any. */
const TYPES = ['container.container', 'container.pull-through', 'core.artifact', 'core.openpgp', 'file.file', 'ostree.ostree'];

/** All distributions of all types, with what they have in common. */
export const genericDistribution: Resource = {
  kind: 'distributions',
  plugin: 'core',
  endpoint: '',
  model: 'Distribution',
  title: ['distribution', 'distributions'],
  description: 'Distributions of every type.',
  fields: {
    ...genericBaseFields('distributions'),
    ...distributionFields,
    base_url: baseUrl,
  },
  filters: {
    ...DISTRIBUTION_FILTERS,
    ...typeFilters(TYPES, 'distribution'),
  },
  ordering: DISTRIBUTION_ORDERING,
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: distributionColumns,
  counted: { table: 'distribution' },
  from: sql`distribution m ${distributionJoins}`,
};
