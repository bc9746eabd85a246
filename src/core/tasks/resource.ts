import { sql } from '../../db/sql.ts';
import { type ApiRequest, type Component, callerOf } from '../../kit/api.ts';
import { ASYNC_RESPONSE, responseComponent } from '../../kit/components.ts';
import { defineResource, type Field, type Fields, type Resource, type Row } from '../../kit/define-resource.ts';
import { ConflictError, NotFoundError, RequestRefusedError, ValidationError } from '../../kit/errors.ts';
import { choiceFilter, conditionFilter, type Filter, listFilter, TIME_LOOKUPS, textFilters } from '../../kit/filters.ts';
import { parseReference, prnType, taskGroupHref, taskHref, userHref } from '../../kit/names.ts';
import { allow, may, ownerGets, ROLE_ACTIONS, SCOPED } from '../../kit/policy.ts';
import { relatedFilter } from '../../kit/reference-filters.ts';
import { malformedReference, visibleRow } from '../../kit/references.ts';
import { baseFields, serialize, timeFields } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { choices, datetime, described, isDateTime, text } from '../../kit/wire.ts';
import { roleActions } from '../access/role-actions.ts';
import { cancelTask } from './cancel.ts';
import { purgeTasks } from './purge.ts';
import { FINAL_STATES, isFinal, TASK_STATES } from './task-state.ts';

const place = { kind: 'tasks', plugin: 'core', endpoint: '', model: 'Task' } as const;
const STATES = [...TASK_STATES].sort();
const URI = { type: 'string', format: 'uri' };
const TIME = { type: 'string', format: 'date-time' };

const read = (json: Record<string, unknown>, description: string, options: Partial<Field> = {}): Field => ({
  wire: described(json),
  access: 'read',
  description,
  ...options,
});
const moment = (description: string): Field => read(TIME, description, { lookups: TIME_LOOKUPS });

/** A line of `progress_reports` (spec: tasks, progress reports). */
const PROGRESS_REPORT: Fields = {
  message: read({ type: 'string' }, 'What is being done.'),
  code: read({ type: 'string' }, 'What is being done, for programs.'),
  state: read({ type: 'string' }, 'running, completed, failed or canceled.'),
  total: read({ type: 'integer', format: 'int64' }, 'How much there is to do, where that is known.'),
  done: read({ type: 'integer', format: 'int64' }, 'How much is done.'),
  suffix: read({ type: ['string', 'null'] }, 'What the numbers count.'),
};

const fields: Fields = {
  ...baseFields(place),
  pulp_created: { ...timeFields.pulp_created, lookups: TIME_LOOKUPS },
  state: read({ type: 'string' }, 'waiting, running, canceling, completed, failed, canceled or skipped.'),
  name: {
    wire: described({ type: 'string' }),
    required: true,
    description: 'The name of the work.',
    lookups: ['exact', 'contains', 'in', 'ne'],
  },
  logging_cid: {
    wire: described({ type: 'string' }),
    required: true,
    description: 'Correlation id of the request that started it.',
    lookups: ['exact', 'contains'],
  },
  created_by: read({ type: ['string', 'null'], format: 'uri' }, 'Who started it.', {
    value: (row) => (row.created_by_id === null ? null : userHref(row.created_by_id as number)),
  }),
  unblocked_at: moment('When its resources became free.'),
  started_at: moment('When a worker began with it.'),
  finished_at: moment('When it ended.'),
  error: read({ type: 'object' }, 'Why it failed.'),
  worker: read({ type: ['string', 'null'], format: 'uri' }, 'Deprecated: always null.', { value: () => null }),
  parent_task: read(URI, 'The task that started it.', {
    value: (row) => (row.parent_task_id ? taskHref(row.parent_task_id as string) : null),
  }),
  child_tasks: read({ type: 'array', items: URI }, 'The tasks that it started.', {
    value: (row) => (row.children as string[]).map(taskHref),
  }),
  task_group: read(URI, 'The group that it belongs to.', {
    value: (row) => (row.task_group_id ? taskGroupHref(row.task_group_id as string) : null),
  }),
  progress_reports: read({ type: 'array', items: responseComponent('ProgressReport', PROGRESS_REPORT).json }, 'How far it is.'),
  created_resources: read({ type: 'array', items: URI }, 'What it made, as paths.'),
  created_resource_prns: read({ type: 'array', items: URI }, 'What it made, as Pulp resource names.'),
  reserved_resources_record: read(
    { type: 'array', items: { type: 'string' } },
    'The resources that it holds or held; those it shares have the prefix shared:.',
  ),
  result: read({}, 'What it answered.'),
  pulp_api_version: {
    wire: described({ type: 'string' }),
    default: 'v3',
    description: 'Version of the API that started it.',
    value: () => 'v3',
  },
};

/** What is reserved that is no resource, by the path that it has in Pulp's filters (spec: core, addressing). */
const RESERVED_PATHS = new Map([
  ['/api/v3/orphans/cleanup/', 'orphans'],
  ['/api/v3/repair/', 'repair'],
  ['/api/v3/distributions/', 'distributions'],
  ['/api/v3/repositories/reclaim_space/', 'reclaim_space'],
  ['/api/v3/servers/', 'servers'],
]);

/** The name under which what an href or path names is reserved; any other text is such a name itself. */
function reservedName(value: string, { catalog, domain }: Services): string {
  const path = RESERVED_PATHS.get(value.replace(/^\/pulp/, ''));
  if (path) return `pdrn:${domain.id}:${path}`;
  const located = value.startsWith('prn:') ? undefined : catalog.locate(value);
  return located ? `prn:${prnType(located.resource)}:${located.id}` : value;
}

/** Tasks that hold all of the resources: exclusively, shared, or either way. */
const holding = (spellings: (prn: string) => string[]) => (values: readonly string[], request: ApiRequest) =>
  values
    .map((value) => sql`m.reserved_resources_record && ${spellings(reservedName(value, request.services))}::text[]`)
    .reduce((all, one) => sql`${all} and ${one}`, sql`true`);

const heldBy = (name: string, spellings: (prn: string) => string[]): Record<string, Filter> => ({
  [name]: conditionFilter((value, request) => holding(spellings)([value], request)),
  [`${name}__in`]: listFilter(holding(spellings)),
});

const isTask = ({ kind }: Resource): boolean => kind === 'tasks';

/** Tasks that made what an href or PRN names. Throws RequestRefusedError for what is neither. */
function madeBy(value: string, { services }: ApiRequest) {
  if (!services.catalog.locate(value) && !parseReference(value))
    throw new RequestRefusedError(malformedReference(value, services));
  return value.startsWith('prn:')
    ? sql`m.created_resource_prns @> array[${value}]::text[]`
    : sql`m.created_resources @> array[${value.replace(/^https?:\/\/[^/]+/, '')}]::text[]`;
}

const filters: Record<string, Filter> = {
  state: choiceFilter('m.state', STATES),
  // Any words, as Pulp takes them: only `state` itself is one of a choice.
  ...textFilters('state', 'm.state', ['in', 'ne']),
  worker: conditionFilter(() => sql`false`),
  parent_task: relatedFilter({ label: 'parent_task', of: isTask }, (id) => sql`m.parent_task_id = ${id}::uuid`),
  child_tasks: relatedFilter(
    { label: 'child_tasks', of: isTask },
    (id) => sql`m.id = (select parent_task_id from task c where c.id = ${id}::uuid)`,
  ),
  task_group: relatedFilter(
    { label: 'task_group', of: ({ kind }) => kind === 'task-groups' },
    (id) => sql`m.task_group_id = ${id}::uuid`,
  ),
  created_resources: { ...conditionFilter(madeBy), refusesEmpty: true },
  ...heldBy('reserved_resources', (prn) => [prn, `shared:${prn}`]),
  ...heldBy('exclusive_resources', (prn) => [prn]),
  ...heldBy('shared_resources', (prn) => [`shared:${prn}`]),
};

const own = (names: readonly string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name, `m.${name}`]));
const ordering: Resource['ordering'] = {
  ...own([
    'error',
    'finished_at',
    'logging_cid',
    'name',
    'pulp_created',
    'pulp_last_updated',
    'reserved_resources_record',
    'result',
    'started_at',
    'state',
    'unblocked_at',
  ]),
  deferred: null,
  enc_args: null,
  enc_kwargs: null,
  immediate: null,
  profile_options: null,
  pulp_api_version: null,
  versions: null,
  pk: 'm.id',
  pulp_id: 'm.id',
};

const TASK_RESPONSE: Component = responseComponent('Task', fields);
const MONTH_MS = 30 * 24 * 3600 * 1000;

/** What tasks and groups of tasks are canceled by. */
export const CANCEL_BODY = {
  component: 'TaskCancel',
  patched: true,
  fields: { state: { wire: text(), description: 'Only canceled can be asked for.' } },
} as const;

/** Throws ValidationError where a body asks for anything but a cancel. */
export function assertCancel({ state }: Record<string, unknown>): void {
  if (state === undefined) throw new ValidationError({ state: ['This field is required.'] });
  if (state !== 'canceled') throw new ValidationError({ state: ["The only acceptable value for 'state' is 'canceled'."] });
}

const MINIMAL = [
  'pulp_href',
  'prn',
  'pulp_created',
  'pulp_last_updated',
  'pulp_api_version',
  'name',
  'state',
  'unblocked_at',
  'started_at',
  'finished_at',
  'worker',
];

/** What a task answers where little of it is asked for. */
export const MINIMAL_FIELDS: Fields = Object.fromEntries(MINIMAL.map((name) => [name, fields[name] as Field]));
export const minimalTask = (row: Row, services: Services): Record<string, unknown> =>
  serialize(task, row, services, new Set(MINIMAL));

type Actions = NonNullable<Resource['actions']>;
const actions: Actions = {
  cancel: {
    method: 'patch',
    suffix: '',
    summary: 'Cancel a task',
    body: CANCEL_BODY,
    responses: [
      { status: 200, component: TASK_RESPONSE },
      { status: 409, component: TASK_RESPONSE },
    ],
    async run({ request, row, body }) {
      assertCancel(body);
      const state = await cancelTask(request.services, row.id);
      const after = await visibleRow(task, row.id, request);
      if (!after) throw new NotFoundError(task.model);
      const answer = serialize(task, after, request.services);
      if (state === 'completed' || state === 'failed' || state === 'skipped')
        throw new ConflictError(`task ${row.id} has ended`, answer);
      return { status: 200, body: answer };
    },
  },
  delete: {
    method: 'delete',
    suffix: '',
    summary: 'Delete a task',
    responses: [{ status: 204 }],
    async run({ request, row }) {
      if (!isFinal(row.state as string)) return { status: 409 };
      await request.services.db.execute(
        sql`delete from task where id = ${row.id}::uuid and state = any(${[...FINAL_STATES]}::text[])`,
      );
      return { status: 204 };
    },
  },
  profile_artifacts: {
    method: 'get',
    summary: 'List the profiles taken of a task',
    responses: [
      {
        status: 200,
        component: {
          name: 'ProfileArtifactResponse',
          json: {
            type: 'object',
            properties: { urls: { type: 'object', additionalProperties: { type: 'string', format: 'uri' } } },
            required: ['urls'],
          },
        },
      },
    ],
    // No diagnostics are recorded, so there is never one to link.
    run: async () => ({ status: 200, body: { urls: {} } }),
  },
  purge: {
    method: 'post',
    on: 'collection',
    summary: 'Purge ended tasks',
    body: {
      component: 'Purge',
      fields: {
        finished_before: {
          wire: {
            ...datetime(),
            schema: text().schema.refine(
              isDateTime,
              'Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].',
            ),
          },
          description: 'Only what ended before; default: 30 days ago.',
        },
        states: { wire: choices(FINAL_STATES), default: ['completed'], description: 'Only what ended like this.' },
      },
    },
    responses: [{ status: 202, component: ASYNC_RESPONSE }],
    async run({ request, body }) {
      const before = body.finished_before as string | undefined;
      const moment =
        before === undefined
          ? request.services.clock().getTime() - MONTH_MS
          : Date.parse(/[Zz]|[+-]\d{2}(:?\d{2})?$/.test(before.slice(10)) ? before : `${before}${before.length > 10 ? 'Z' : ''}`);
      const dispatched = await request.dispatch(
        purgeTasks,
        {
          finished_before: new Date(moment).toISOString(),
          states: body.states as (typeof FINAL_STATES)[number][],
          user_id: callerOf(request).id,
        },
        {},
      );
      return { status: 202, body: { task: dispatched.href } };
    },
  },
};

/** Work done aside: what was asked for, how far it is, and what came of it. */
export const task = defineResource({
  ...place,
  title: ['task', 'tasks'],
  description: 'Work that is done aside of the request that asked for it.',
  fields,
  filters,
  ordering,
  verbs: ['list', 'read'],
  policy: {
    statements: [
      allow(['list', 'retrieve', 'my_permissions']),
      allow(['profile_artifacts'], may('core.view_task_profile_artifacts')),
      allow(['destroy'], may('core.delete_task')),
      allow(['update', 'partial_update'], may('core.change_task')),
      allow(['purge']),
      allow(ROLE_ACTIONS, may('core.manage_roles_task')),
    ],
    creation_hooks: ownerGets('core.task_owner'),
    queryset_scoping: SCOPED,
  },
  roles: {
    owner: {
      description: 'Allow all actions on a task.',
      permissions: ['view', 'change', 'delete', 'manage_roles', 'core.view_task_profile_artifacts'],
    },
    user_dispatcher: ['add'],
    viewer: ['view'],
  },
  actions: { ...actions, ...roleActions },
  select: sql`m.id, m.state, m.name, m.logging_cid, m.created_by_id, m.unblocked_at, m.started_at, m.finished_at, m.error, m.parent_task_id,
    m.task_group_id, m.progress_reports,
    m.created_resources, m.created_resource_prns, m.reserved_resources_record, m.result, m.pulp_created, m.pulp_last_updated,
    array(select c.id from task c where c.parent_task_id = m.id) as children`,
  from: sql`task m`,
  counted: { table: 'task' },
  reduced: { minimal: MINIMAL },
});
