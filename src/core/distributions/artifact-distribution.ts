import { sql } from '../../db/sql.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { baseFields } from '../../kit/serialize.ts';
import {
  baseUrl,
  DISTRIBUTION_FILTERS,
  DISTRIBUTION_ORDERING,
  distributionColumns,
  distributionFields,
  distributionJoins,
} from './distribution-fields.ts';

/** pulp_type of the one distribution that serves artifacts. */
export const ARTIFACTS = 'core.artifact';

const place = { kind: 'distributions', plugin: 'core', endpoint: 'artifacts', model: 'ArtifactDistribution' } as const;
const { repository: _, ...fields } = distributionFields;

/** Serves artifacts by their ids, at signed URLs. There is one, made on the first start. */
export const artifactDistribution = defineResource({
  ...place,
  pulpType: ARTIFACTS,
  title: ['artifact distribution', 'artifact distributions'],
  description: 'The distribution that serves artifacts by their ids, to those who have a signed URL.',
  fields: { ...baseFields(place), ...fields, base_url: baseUrl },
  filters: DISTRIBUTION_FILTERS,
  ordering: DISTRIBUTION_ORDERING,
  verbs: ['list', 'read'],
  only: sql`m.pulp_type = ${ARTIFACTS}`,
  select: distributionColumns,
  counted: { table: 'distribution', pulpType: ARTIFACTS },
  from: sql`distribution m ${distributionJoins}`,
});
