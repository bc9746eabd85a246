import { join, type Sql, sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { permissionOf, prnType } from '../../kit/names.ts';
import type { Access, Scope, ScopeInput } from '../../kit/policy.ts';

/** Resources whose rows a list of all types holds: `repositories/` holds those of `repositories/container/container/`. */
const kindsOf = ({ services, resource }: ScopeInput): readonly Resource[] =>
  services.catalog.resources.filter(
    (other) => other !== resource && other.kind === resource.kind && other.endpoint !== '' && !other.nested && other.policy,
  );

/** Value of `pulp_type` of a resource's rows. */
const pulpType = (resource: Resource): string =>
  resource.pulpType ?? resource.contentType ?? `${resource.plugin}.${resource.endpoint}`;

/** Groups with a task that the caller sees, and that no other task started. */
const groupsOf = (tasks: Sql | undefined): Sql | undefined =>
  tasks && sql`m.id in (select m.task_group_id from task m where m.parent_task_id is null and ${tasks})`;

/**
 * Rows on which the caller holds the view permission; groups by their tasks; in a list of all types, the rows that he sees in the lists of the single
 * ones.
 */
export const scopeQueryset =
  (access: () => Access): Scope =>
  async (input) => {
    const { resource, caller, services } = input;
    if (resource.kind === 'task-groups') return groupsOf(await access().scope(caller, services.catalog.resource('tasks')));
    if (resource.endpoint !== '' || kindsOf(input).length === 0)
      return access().whereHolds(caller, permissionOf(resource, 'view'), prnType(resource));
    const types: Sql[] = [];
    for (const kind of kindsOf(input)) {
      const scope = await access().scope(caller, kind);
      types.push(sql`(m.pulp_type = ${pulpType(kind)} ${scope ? sql`and ${scope}` : sql``})`);
    }
    return sql`(${join(types, ' or ')})`;
  };

/** Versions of the repositories that the caller sees. */
export const scopeVersions =
  (access: () => Access): Scope =>
  async ({ services, caller }) => {
    const repositories = await access().scope(caller, services.catalog.resource('repositories'));
    return repositories && sql`m.repository_id in (select m.id from repository m where ${repositories})`;
  };
