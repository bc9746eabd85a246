import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { conditionFilter, isBool, NAME_LOOKUPS, TIME_LOOKUPS } from '../../kit/filters.ts';
import { taskHref } from '../../kit/names.ts';
import { baseFields } from '../../kit/serialize.ts';
import { described } from '../../kit/wire.ts';

const place = { kind: 'workers', plugin: 'core', endpoint: '', model: 'Worker', prn: 'core.appstatus' } as const;

/** Workers by whether their last heartbeat is younger than the time to live. */
const alive = (whether: boolean) =>
  conditionFilter(
    (value: string, request: ApiRequest) => {
      const wanted = isBool(value) === whether;
      const since = sql`now() - make_interval(secs => ${request.services.config.PULP_WORKER_TTL})`;
      return wanted ? sql`m.last_heartbeat >= ${since}` : sql`m.last_heartbeat < ${since}`;
    },
    { type: 'boolean' },
  );

/** A process that runs tasks. */
export const worker = defineResource({
  ...place,
  title: ['worker', 'workers'],
  description: 'A process that runs tasks.',
  fields: {
    ...baseFields(place),
    name: { wire: described({ type: 'string' }), access: 'read', description: 'Process id and host.', lookups: NAME_LOOKUPS },
    last_heartbeat: {
      wire: described({ type: 'string', format: 'date-time' }),
      access: 'read',
      description: 'When it last said that it is alive.',
      lookups: TIME_LOOKUPS,
    },
    versions: {
      wire: described({ type: 'object', additionalProperties: { type: ['string', 'null'] } }),
      access: 'read',
      description: 'The components that it knows.',
    },
    current_task: {
      wire: described({ type: 'string', format: 'uri' }),
      access: 'read',
      description: 'The task that it runs.',
      value: (row) => (row.current_task ? taskHref(row.current_task as string) : null),
    },
  },
  filters: { online: alive(true), missing: alive(false) },
  ordering: {
    app_type: 'm.app_type',
    last_heartbeat: 'm.last_heartbeat',
    name: 'm.name',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    ttl: null,
    versions: 'm.versions',
  },
  verbs: ['list', 'read'],
  only: sql`m.app_type = 'worker'`,
  select: sql`m.*, (select t.id from task t where t.worker_id = m.id and t.state in ('running', 'canceling') order by t.started_at limit 1) as current_task`,
  from: sql`worker m`,
});
