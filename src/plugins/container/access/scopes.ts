import { join, type Sql, sql } from '../../../db/sql.ts';
import type { Scope, ScopeInput } from '../../../kit/policy.ts';

const NAMESPACE = 'container.containernamespace';
const DISTRIBUTION = 'container.containerdistribution';
const REPOSITORY = 'container.containerrepository';

const permission = ({ parameters }: ScopeInput, name: string): string => String(parameters[name]);

/** A select of the ids of distributions that the caller sees by a role on them or on their namespace. */
const ownDistributions = (input: ScopeInput): Sql => sql`
  ${input.heldOn(permission(input, 'dist_perm'), DISTRIBUTION)} union all
  select d.id from container_distribution d where d.namespace_id in (${input.heldOn(permission(input, 'ns_perm'), NAMESPACE)})`;

const PUBLIC_DISTRIBUTIONS = sql`select d.id from container_distribution d where not d.private`;

const servedBy = (...distributions: readonly Sql[]): Sql => sql`
  select s.repository_id from distribution s where s.repository_id is not null and s.id in (${join(distributions, ' union all ')})`;

/** Whether the caller sees all distributions. */
const seesDistributions = async (input: ScopeInput): Promise<boolean> =>
  (await input.holds(permission(input, 'dist_perm'))) || (await input.holds(permission(input, 'ns_perm')));

/** Public distributions, and those that the caller sees by a role on them or on their namespace. */
const distributions: Scope = async (input) =>
  (await seesDistributions(input)) ? undefined : sql`m.id in (${ownDistributions(input)} union all ${PUBLIC_DISTRIBUTIONS})`;

/** Whether the caller sees all repositories. */
const seesAll = async (input: ScopeInput): Promise<boolean> =>
  (await input.holds(permission(input, 'repo_perm'))) || seesDistributions(input);

/** Repositories on which the caller has a role, or that a distribution serves which he sees by a role. */
const repositories: Scope = async (input) =>
  (await seesAll(input))
    ? undefined
    : sql`m.id in (${input.heldOn(permission(input, 'repo_perm'), REPOSITORY)} union all ${servedBy(ownDistributions(input))})`;

/** Repositories that a distribution serves which the caller sees by a role. */
const pushRepositories: Scope = async (input) =>
  (await seesDistributions(input)) ? undefined : sql`m.id in (${servedBy(ownDistributions(input))})`;

/** Content of repositories that the caller sees or that a public distribution serves; orphans for those who see everything. */
const content: Scope = async (input) => {
  if (await seesAll(input)) return undefined;
  return sql`exists (select from repository_content rc where rc.content_id = m.id and rc.repository_id in (
    ${input.heldOn(permission(input, 'repo_perm'), REPOSITORY)} union all ${servedBy(ownDistributions(input), PUBLIC_DISTRIBUTIONS)}))`;
};

/** The scopes that the policies of container resources use beside the core's. */
export const containerScopes: Readonly<Record<string, Scope>> = {
  get_dist_qs: distributions,
  get_container_repos_qs: repositories,
  get_push_repos_qs: pushRepositories,
  get_content_qs: content,
};
