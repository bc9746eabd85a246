import { baseUrl, defineDistribution } from '../../../core/plugin-api.ts';
import { OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { distributionPolicy } from '../access/policies.ts';

/** Serves a repository, or one version of it, to `ostree pull`. */
export const ostreeDistribution = defineDistribution({
  plugin: 'ostree',
  endpoint: 'ostree',
  model: 'OstreeDistribution',
  title: ['OSTree distribution', 'OSTree distributions'],
  description: 'An OSTree distribution serves a repository, or one version of it, as an archive repository.',
  policy: distributionPolicy,
  roles: OWNED_AND_VIEWED,
  fields: { base_url: baseUrl },
  detail: { table: 'ostree_distribution', columns: [] },
});
