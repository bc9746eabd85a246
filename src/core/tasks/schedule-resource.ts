import { sql } from '../../db/sql.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { taskHref } from '../../kit/names.ts';
import { allow, may, ownerGets, ROLE_ACTIONS, SCOPED } from '../../kit/policy.ts';
import { baseFields } from '../../kit/serialize.ts';
import { described } from '../../kit/wire.ts';
import { roleActions } from '../access/role-actions.ts';

const place = { kind: 'task-schedules', plugin: 'core', endpoint: '', model: 'TaskSchedule' } as const;

const two = (value: number): string => String(value).padStart(2, '0');

/** Seconds as days, hours, minutes and seconds: `1 00:00:00`; days that are none are left out. */
function interval(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const clock = [Math.floor((seconds % 86_400) / 3600), Math.floor((seconds % 3600) / 60), seconds % 60].map(two).join(':');
  return days > 0 ? `${days} ${clock}` : clock;
}

/** Tasks that come again and again; the settings say which. */
export const taskSchedule = defineResource({
  ...place,
  title: ['task schedule', 'task schedules'],
  description: 'A task that comes again and again.',
  fields: {
    ...baseFields(place),
    name: {
      wire: described({ type: 'string' }),
      required: true,
      description: 'What it is for.',
      lookups: ['exact', 'contains'],
    },
    task_name: {
      wire: described({ type: 'string' }),
      required: true,
      description: 'The name of the work.',
      lookups: ['exact', 'contains'],
    },
    dispatch_interval: {
      wire: described({ type: ['string', 'null'] }),
      required: true,
      description: 'How often it comes: days, and hours:minutes:seconds.',
      value: (row) => interval(row.dispatch_interval as number),
    },
    next_dispatch: {
      wire: described({ type: ['string', 'null'], format: 'date-time' }),
      access: 'read',
      description: 'When it comes next.',
    },
    last_task: {
      wire: described({ type: 'string', format: 'uri' }),
      access: 'read',
      description: 'The task that it was dispatched as last.',
      value: (row) => (row.last_task_id ? taskHref(row.last_task_id as string) : null),
    },
  },
  ordering: {
    dispatch_interval: 'm.dispatch_interval',
    name: 'm.name',
    next_dispatch: 'm.next_dispatch',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    task_args: null,
    task_kwargs: null,
    task_name: 'm.task_name',
  },
  policy: {
    statements: [allow(['list', 'retrieve', 'my_permissions']), allow(ROLE_ACTIONS, may('core.manage_roles_taskschedule'))],
    creation_hooks: ownerGets('core.taskschedule_owner'),
    queryset_scoping: SCOPED,
  },
  roles: {
    owner: { description: 'Allow all actions on a taskschedule.', permissions: ['view', 'manage_roles'] },
    viewer: ['view'],
  },
  verbs: ['list', 'read'],
  actions: roleActions,
  select: sql`m.*`,
  from: sql`task_schedule m`,
});
