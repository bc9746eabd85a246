import { raw, sql } from '../../db/sql.ts';
import { callerOf } from '../../kit/api.ts';
import { responseComponent } from '../../kit/components.ts';
import { defineResource, type Field, type Fields, type Resource, type Row } from '../../kit/define-resource.ts';
import { ConflictError, NotFoundError, PermissionDeniedError } from '../../kit/errors.ts';
import { prnOf, taskGroupHref } from '../../kit/names.ts';
import { allow, SCOPED, type Scope } from '../../kit/policy.ts';
import { visibleRow } from '../../kit/references.ts';
import { serialize } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { described } from '../../kit/wire.ts';
import { cancelTasks } from './cancel.ts';
import { assertCancel, CANCEL_BODY, MINIMAL_FIELDS, minimalTask, task } from './resource.ts';
import { isFinal, TASK_STATES, type TaskState } from './task-state.ts';

const COUNT = { type: 'integer', format: 'int64' };

/** A line of `group_progress_reports`. */
const GROUP_PROGRESS_REPORT: Fields = {
  message: { wire: described({ type: 'string' }), access: 'read', description: 'What is being done.' },
  code: { wire: described({ type: 'string' }), access: 'read', description: 'What is being done, for programs.' },
  total: { wire: described(COUNT), access: 'read', description: 'How much there is to do.' },
  done: { wire: described(COUNT), access: 'read', description: 'How much is done.' },
  suffix: { wire: described({ type: ['string', 'null'] }), access: 'read', description: 'What the numbers count.' },
};

const tasksOf = (row: Row): readonly Row[] => row.tasks as readonly Row[];

const countOf = (state: TaskState): Field => ({
  wire: described(COUNT),
  access: 'read',
  description: `How many of its tasks are ${state}.`,
  value: (row) => tasksOf(row).filter((one) => one.state === state).length,
});

const fields: Fields = {
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of this group.',
    value: (row) => taskGroupHref(row.id),
  },
  prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name: the other way to refer to this group.',
    value: (row) => prnOf('core', 'TaskGroup', row.id),
  },
  description: { wire: described({ type: 'string' }), required: true, description: 'What its tasks are for.' },
  all_tasks_dispatched: {
    wire: described({ type: 'boolean' }),
    required: true,
    description: 'Whether no more tasks come to it.',
  },
  ...(Object.fromEntries(TASK_STATES.map((state) => [state, countOf(state)])) as Fields),
  group_progress_reports: {
    wire: described({
      type: 'array',
      items: responseComponent('GroupProgressReport', GROUP_PROGRESS_REPORT).json,
    }),
    access: 'read',
    description: 'How far its tasks are together. No operation keeps such a report: theirs are with the tasks.',
    value: () => [],
  },
  tasks: {
    wire: described({ type: 'array', items: responseComponent('MinimalTask', MINIMAL_FIELDS).json }),
    access: 'read',
    description: 'Its tasks, in the order of their dispatch.',
    value: (row: Row, services: Services) => tasksOf(row).map((one) => minimalTask(one, services)),
  },
};

/** A moment inside of JSON, as the wire has it. */
const moment = (column: string) => `to_char(t.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const MOMENTS = ['pulp_created', 'pulp_last_updated', 'unblocked_at', 'started_at', 'finished_at'];

/** The groups' tasks as JSON, read by the index of their group. */
const tasksAsJson = raw(`coalesce((
  select jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'state', t.state, ${MOMENTS.map((name) => `'${name}', ${moment(name)}`).join(', ')}) order by t.seq)
  from task t where t.task_group_id = m.id), '[]')`);

/** Groups with a task that the caller sees, and that no other task started. */
const ofSeenTasks: Scope = async ({ sees }) => {
  const tasks = await sees(task);
  return tasks && sql`m.id in (select m.task_group_id from task m where m.parent_task_id is null and ${tasks})`;
};

/** Tasks that are looked at, and canceled, together. */
export const taskGroup: Resource = defineResource({
  kind: 'task-groups',
  plugin: 'core',
  endpoint: '',
  model: 'TaskGroup',
  title: ['task group', 'task groups'],
  description: 'Tasks that are looked at, and canceled, together.',
  fields,
  ordering: {},
  unfiltered: true,
  policy: { statements: [allow(['list', 'retrieve', 'partial_update'])], queryset_scoping: SCOPED },
  scopes: { scope_queryset: ofSeenTasks },
  verbs: ['list', 'read'],
  actions: {
    cancel: {
      method: 'patch',
      suffix: '',
      summary: 'Cancel a task group',
      body: CANCEL_BODY,
      responses: [
        { status: 200, component: responseComponent('TaskGroup', fields) },
        { status: 409, component: responseComponent('TaskGroup', fields) },
      ],
      async run({ request, row, body }) {
        assertCancel(body);
        const { services } = request;
        const changeable = await services.access.whereHolds(callerOf(request), 'core.change_task', 'core.task');
        const [withheld] = await services.db.query(
          sql`select 1 from task m where m.task_group_id = ${row.id}::uuid and not (${changeable ?? sql`true`}) limit 1`,
        );
        if (withheld) throw new PermissionDeniedError();
        await services.db.execute(
          sql`update task_group set all_tasks_dispatched = true, pulp_last_updated = clock_timestamp() where id = ${row.id}::uuid`,
        );
        const unfinished = tasksOf(row).filter((one) => !isFinal(one.state as string));
        await cancelTasks(
          services,
          unfinished.map(({ id }) => id),
        );
        const after = await visibleRow(taskGroup, row.id, request);
        if (!after) throw new NotFoundError(taskGroup.model);
        const answer = serialize(taskGroup, after, services);
        // One that was dispatched at this very moment is still to be canceled.
        if (tasksOf(after).some(({ state }) => state === 'waiting' || state === 'running'))
          throw new ConflictError(`task group ${row.id} has tasks that go on`, answer);
        return { status: 200, body: answer };
      },
    },
  },
  select: sql`m.*, ${tasksAsJson} as tasks`,
  from: sql`task_group m`,
  counted: { table: 'task_group' },
});
