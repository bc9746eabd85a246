import { defineRepository, signingService, signingServiceOf, syncAction, versionsOf } from '../../../core/plugin-api.ts';
import type { Field } from '../../../kit/define-resource.ts';
import { hrefOf } from '../../../kit/names.ts';
import { OWNED, OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { bool, reference } from '../../../kit/wire.ts';
import { repositoryPolicy, versionPolicy } from '../access/policies.ts';
import { synchronize } from '../tasks/sync.ts';
import { buildImageAction } from './build-image-action.ts';
import { contentActions } from './content-actions.ts';
import { manifestSigning } from './manifest-signing.ts';
import { containerRemote } from './remote.ts';
import { signAction } from './sign-action.ts';

/** Mirrors the upstream into a new version (spec: sync). */
const sync = syncAction({
  component: 'ContainerRepositorySyncURL',
  remote: containerRemote,
  repositoryType: 'container.containerrepository',
  fields: { signed_only: { wire: bool(), default: false, description: 'Whether only signed images are synced.' } },
  task: synchronize,
  args: (repository, remote, body) => ({
    repository_id: repository.id,
    remote_id: remote.id,
    mirror: body.mirror as boolean,
    signed_only: body.signed_only as boolean,
  }),
});

/** The service that signs what a repository holds. */
export const manifestSigningService: Field = {
  wire: reference({ nullable: true }),
  description: 'The service that signs the manifests.',
  value: ({ manifest_signing_service_id: id }) => (id ? hrefOf(signingService, id as string) : null),
  resolve: async (value, { request }) => ({
    manifest_signing_service_id:
      value === null ? null : await signingServiceOf('manifest_signing_service', String(value), manifestSigning, request),
  }),
};

/** A repository of container images. */
export const containerRepository = defineRepository({
  plugin: 'container',
  endpoint: 'container',
  model: 'ContainerRepository',
  title: ['container repository', 'container repositories'],
  description: 'A container repository: images, in numbered versions.',
  fields: {
    manifest_signing_service: manifestSigningService,
  },
  policy: repositoryPolicy,
  roles: {
    ...OWNED_AND_VIEWED,
    owner: [...OWNED, 'sync', 'modify_content', 'build_image', 'container.delete_containerrepository_versions'],
    content_manager: ['view', 'sync', 'modify_content', 'build_image', 'container.delete_containerrepository_versions'],
  },
  actions: { sync, ...contentActions, sign: signAction, build_image: buildImageAction },
  detail: { table: 'container_repository', columns: ['manifest_signing_service_id', 'origin'] },
});

export const containerRepositoryVersions = versionsOf(containerRepository, {
  policy: versionPolicy,
  alias: '/pulp/api/v3/repositories/container/:pulp_id/versions/',
});
