import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../kit/components.ts';
import type { Action, Field, Resource, Row } from '../../kit/define-resource.ts';
import { NotFoundError, RequestRefusedError } from '../../kit/errors.ts';
import { conditionFilter, type Filter, listFilter, NUMBER_LOOKUPS, TIME_LOOKUPS } from '../../kit/filters.ts';
import { prnType, snakeCase } from '../../kit/names.ts';
import { allow, type Policy } from '../../kit/policy.ts';
import { timeFields } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { described } from '../../kit/wire.ts';
import { contentIds } from '../content/content-filters.ts';
import { repairVersion } from '../upkeep/repair-tasks.ts';
import { VERIFY_CHECKSUMS } from '../upkeep/verify-checksums.ts';
import { deleteVersion } from './delete-version.ts';
import { type VersionResponse, type VersionRow, versionColumns, versionFields, versionTables } from './version-response.ts';

const URI = { type: 'string', format: 'uri' };
const counts = { type: 'object', additionalProperties: { type: 'object' } };
const SUMMARY = {
  type: 'object',
  properties: { added: counts, removed: counts, present: counts },
  required: ['added', 'removed', 'present'],
};

const field = (name: keyof VersionResponse, json: Record<string, unknown>, description: string): Field => ({
  wire: described(json),
  access: 'read',
  description,
  value: (row: Row, services: Services) => versionFields(row as unknown as VersionRow, services.catalog)[name],
});

const fields = {
  pulp_href: field('pulp_href', URI, 'Path of this version.'),
  prn: field('prn', { type: 'string' }, 'Pulp resource name of this version.'),
  pulp_created: { ...timeFields.pulp_created, lookups: TIME_LOOKUPS },
  pulp_last_updated: timeFields.pulp_last_updated,
  number: {
    wire: described({ type: 'integer', format: 'int64' }),
    access: 'read' as const,
    description: 'Its number; never used twice in a repository.',
    lookups: NUMBER_LOOKUPS.filter((lookup) => lookup !== 'ne' && lookup !== 'isnull'),
  },
  repository: field('repository', URI, 'The repository that it is a version of.'),
  base_version: { ...field('base_version', URI, 'The version that it was built from, where one was named.'), access: undefined },
  content_summary: field('content_summary', SUMMARY, 'How much content of each type was added, removed and is present.'),
  vuln_report: field('vuln_report', { type: 'string' }, 'Path of its vulnerability reports.'),
} as unknown as Resource['fields'];

/** Found from the content: it is in few repositories. */
const holds = (ids: readonly string[]) => sql`m.id in (
  select v.id from repository_content rc join repository_version v on v.repository_id = rc.repository_id
    and v.number >= rc.version_added and (rc.version_removed is null or v.number < rc.version_removed)
  where rc.content_id = any(${ids}::uuid[]))`;

/** Versions that hold any of the units that hrefs or PRNs name. Throws RequestRefusedError where one names none. */
async function holdsAny(values: readonly string[], request: ApiRequest) {
  if (values.every((value) => value === '')) throw new RequestRefusedError('No value supplied for content filter');
  const ids = await contentIds(values, request);
  const unknown = values.filter((value) => !ids.has(value));
  if (unknown.length > 0)
    throw new RequestRefusedError(
      `Could not find the following content units: [${unknown.map((value) => `'${value}'`).join(', ')}]`,
    );
  return holds([...ids.values()]);
}

const filters: Record<string, Filter> = {
  content: { ...conditionFilter((value, request) => holdsAny([value], request)), refusesEmpty: true },
  content__in: { ...listFilter(holdsAny), refusesEmpty: true },
};

const ORDERING = {
  complete: null,
  content_ids: null,
  info: null,
  number: 'm.number',
  pk: 'm.id',
  pulp_created: 'm.pulp_created',
  pulp_id: 'm.id',
  pulp_last_updated: 'm.pulp_last_updated',
};

const shared = {
  plugin: 'core',
  model: 'RepositoryVersion',
  title: ['repository version', 'repository versions'],
  description: 'An immutable, numbered state of a repository.',
  fields,
  filters,
  ordering: ORDERING,
  select: versionColumns,
  from: versionTables,
  id: 'none',
} as const satisfies Partial<Resource>;

/** All versions of all repositories. */
export const repositoryVersions: Resource = {
  ...shared,
  kind: 'repository_versions',
  endpoint: '',
  verbs: ['list'],
  counted: { table: 'repository_version' },
  policy: { statements: [allow(['list'])], queryset_scoping: { function: 'scope_repository_versions' } },
};

const NUMBER = /^\d{1,9}$/;

const repairAction = (lock: (repositoryId: string) => string): Action => ({
  method: 'post',
  summary: 'Check the stored files of a version, and fetch again those that are missing or damaged',
  body: { component: 'Repair', fields: VERIFY_CHECKSUMS },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, row, body }) {
    const task = await request.dispatch(
      repairVersion,
      { version_id: row.id, verify_checksums: body.verify_checksums as boolean },
      { shared: [lock(row.repository_id as string)] },
    );
    return { status: 202, body: { task: task.href } };
  },
});

const deleteAction = (lock: (repositoryId: string) => string): Action => ({
  method: 'delete',
  suffix: '',
  summary: 'Delete a repository version',
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, row }) {
    const repositoryId = row.repository_id as string;
    // By its number, or as the latest of a repository that is served.
    const [served] = await request.services.db.query(sql`
      select 1 from distribution d where d.repository_version_id = ${row.id}::uuid or (d.repository_id = ${repositoryId}::uuid
        and not exists (select from repository_version v where v.repository_id = d.repository_id and v.number > ${row.number}::int))
      limit 1`);
    if (served) {
      throw new RequestRefusedError(
        'The repository version cannot be deleted because it (or its publications) are currently being used to distribute content. Please update the necessary distributions first.',
      );
    }
    const task = await request.dispatch(
      deleteVersion,
      { repository_id: repositoryId, number: row.number as number },
      { exclusive: [lock(repositoryId)] },
    );
    return { status: 202, body: { task: task.href } };
  },
});

/** The versions of a kind of repository, nested below it. */
export function versionsOf(parent: Resource, options: { readonly policy: Policy; readonly alias?: string }): Resource {
  const lock = (repositoryId: string) => `prn:${prnType(parent)}:${repositoryId}`;
  return {
    ...shared,
    kind: parent.kind,
    endpoint: parent.endpoint,
    component: 'RepositoryVersion',
    verbs: ['list', 'read'],
    defaultOrder: 'm.number desc',
    policy: options.policy,
    nested: {
      parent,
      segment: 'versions',
      memberParam: 'number',
      href: `${parent.plugin}_${snakeCase(parent.model)}_version_href`,
      ...(options.alias ? { alias: options.alias } : {}),
      where: (params, member) => {
        if (!member) return sql`m.repository_id = ${params.pulp_id}::uuid`;
        if (!NUMBER.test(params.number ?? '')) throw new NotFoundError();
        return sql`m.repository_id = ${params.pulp_id}::uuid and m.number = ${params.number}::int`;
      },
    },
    actions: {
      repair: repairAction(lock),
      delete: deleteAction(lock),
    },
  };
}
