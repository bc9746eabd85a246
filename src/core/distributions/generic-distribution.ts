import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { choiceFilter } from '../../kit/filters.ts';
import { described, reference } from '../../kit/wire.ts';
import { genericBaseFields } from '../generic-fields.ts';
import {
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
    content_guard: {
      ...distributionFields.content_guard,
      wire: reference({ nullable: true }),
      description: 'What protects the content.',
    },
    base_url: {
      wire: described({ type: 'string' }),
      access: 'read',
      description: 'URL under which the content is served.',
      value: (row, services) => `${services.config.PULP_CONTENT_ORIGIN}/pulp/content/${row.base_path}/`,
    },
  },
  filters: {
    ...DISTRIBUTION_FILTERS,
    pulp_type: choiceFilter('m.pulp_type', TYPES),
    pulp_type__in: choiceFilter('m.pulp_type', TYPES, 'many'),
  },
  ordering: DISTRIBUTION_ORDERING,
  verbs: ['list'],
  select: distributionColumns,
  from: sql`distribution m ${distributionJoins}`,
};
