import {
  REPOSITORY_FILTERS,
  REPOSITORY_ORDERING,
  repositoryColumns,
  repositoryFields,
  repositoryJoins,
  repositoryStore,
  versionsOf,
} from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { callerOf } from '../../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import { defineResource, type Resource } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { labelActions } from '../../../kit/labels.ts';
import { permissionOf, prnOf } from '../../../kit/names.ts';
import { resolveReference, visibleRow } from '../../../kit/references.ts';
import { baseFields } from '../../../kit/serialize.ts';
import { bool, reference } from '../../../kit/wire.ts';
import { synchronize } from '../tasks/sync.ts';
import { containerRemote } from './remote.ts';

const place = { kind: 'repositories', plugin: 'container', endpoint: 'container', model: 'ContainerRepository' } as const;

type Action = NonNullable<Resource['actions']>[string];

/** Mirrors the upstream into a new version (spec: sync). */
const sync: Action = {
  method: 'post',
  summary: 'Sync from a remote',
  body: {
    component: 'ContainerRepositorySyncURL',
    fields: {
      remote: { wire: reference(), description: "The remote to sync from; default: the repository's own." },
      mirror: { wire: bool(), default: false, description: 'Whether the new version holds exactly what the remote offers.' },
      signed_only: { wire: bool(), default: false, description: 'Whether only signed images are synced.' },
    },
  },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  permission: 'sync',
  async run({ request, row, body }) {
    const named = body.remote as string | undefined;
    const remote = named
      ? (await resolveReference('remote', named, [containerRemote], request)).row
      : row.remote_id
        ? await visibleRow(containerRemote, row.remote_id as string, request)
        : undefined;
    if (!remote) throw new ValidationError({ remote: ['This field is required since a remote is not set on the repository.'] });
    await request.access.check(callerOf(request), permissionOf(containerRemote, 'view'), remote);
    const task = await request.dispatch(
      synchronize,
      { repository_id: row.id, remote_id: remote.id, mirror: body.mirror as boolean, signed_only: body.signed_only as boolean },
      {
        exclusive: [prnOf('container', 'ContainerRepository', row.id)],
        shared: [prnOf('container', 'ContainerRemote', remote.id)],
      },
    );
    return { status: 202, body: { task: task.href } };
  },
};

/** A repository of container images. */
export const containerRepository = defineResource({
  ...place,
  title: ['container repository', 'container repositories'],
  description: 'A container repository: images, in numbered versions.',
  fields: {
    ...baseFields(place),
    ...repositoryFields('container.container'),
    manifest_signing_service: {
      wire: reference({ nullable: true }),
      description: 'The service that signs the manifests.',
      value: () => null,
      resolve: (value) => {
        if (value === null) return {};
        throw new ValidationError({ manifest_signing_service: ['Invalid hyperlink - Object does not exist.'] });
      },
    },
  },
  filters: REPOSITORY_FILTERS,
  ordering: REPOSITORY_ORDERING,
  verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
  mutation: { create: 'sync', update: 'task', delete: 'task' },
  slowDelete: true,
  actions: { ...labelActions('repository', 'change'), sync },
  select: repositoryColumns,
  from: sql`repository m join container_repository d on d.id = m.id ${repositoryJoins}`,
  store: repositoryStore({
    pulpType: 'container.container',
    detail: { table: 'container_repository', columns: ['manifest_signing_service_id'] },
    counted: ['core.Repository', 'container.ContainerRepository'],
  }),
});

export const containerRepositoryVersions = versionsOf(containerRepository, {
  deletePermission: 'container.delete_containerrepository_versions',
  alias: '/pulp/api/v3/repositories/container/:pulp_id/versions/',
});
