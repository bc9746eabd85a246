import type { z } from 'zod';
import type { ApiReply, ApiRequest } from '../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../kit/components.ts';
import type { Action, Fields, Resource, Row } from '../../kit/define-resource.ts';
import type { TaskDefinition } from '../../kit/define-task.ts';
import { ValidationError } from '../../kit/errors.ts';
import { prnType } from '../../kit/names.ts';
import { resolveReference, visibleRow } from '../../kit/references.ts';
import { bool, reference } from '../../kit/wire.ts';

export interface SyncKind<Args extends z.ZodType> {
  /** Name of the body's schema. */
  readonly component: string;
  /** What can be synced from. */
  readonly remote: Resource;
  /** PRN type of the repositories: `container.containerrepository`. */
  readonly repositoryType: string;
  /** Fields of the body beside `remote` and `mirror`. */
  readonly fields?: Fields;
  readonly task: TaskDefinition<Args>;
  readonly args: (repository: Row, remote: Row, body: Readonly<Record<string, unknown>>) => z.input<Args>;
}

/** `sync/`: mirrors an upstream into a new version, by a task that holds the repository and shares the remote. */
export function syncAction<Args extends z.ZodType>(kind: SyncKind<Args>): Action {
  return {
    method: 'post',
    summary: 'Sync from a remote',
    body: {
      component: kind.component,
      fields: {
        remote: { wire: reference(), description: "The remote to sync from; default: the repository's own." },
        mirror: { wire: bool(), default: false, description: 'Whether the new version holds exactly what the remote offers.' },
        ...kind.fields,
      },
    },
    responses: [{ status: 202, component: ASYNC_RESPONSE }],
    async run({ request, row, body }): Promise<ApiReply> {
      const remote = await remoteOf(kind.remote, row, body.remote as string | undefined, request);
      const task = await request.dispatch(kind.task, kind.args(row, remote, body), {
        exclusive: [`prn:${kind.repositoryType}:${row.id}`],
        shared: [`prn:${prnType(kind.remote)}:${remote.id}`],
      });
      return { status: 202, body: { task: task.href } };
    },
  };
}

/** The remote that is named, else the repository's own. Throws ValidationError where there is none that the caller may see. */
async function remoteOf(resource: Resource, repository: Row, named: string | undefined, request: ApiRequest): Promise<Row> {
  if (named !== undefined) return (await resolveReference('remote', named, [resource], request)).row;
  const own = repository.remote_id ? await visibleRow(resource, repository.remote_id as string, request) : undefined;
  if (!own) throw new ValidationError({ remote: ['This field is required since a remote is not set on the repository.'] });
  return own;
}
