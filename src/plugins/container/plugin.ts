import { definePlugin } from '../../kit/define-plugin.ts';
import { containerConditions } from './access/conditions.ts';
import { containerScopes } from './access/scopes.ts';
import { sweepPushes } from './push/sweep.ts';
import { blobFiles } from './registry/blob-files.ts';
import { fastPath, registryRoutes } from './registry/registry-routes.ts';
import { tokenOperation } from './registry/token-route.ts';
import { blob, manifest, signature, tag } from './resources/content.ts';
import { containerDistribution } from './resources/distribution.ts';
import { manifestSigning } from './resources/manifest-signing.ts';
import { containerNamespace } from './resources/namespace.ts';
import { pullThroughDistribution } from './resources/pull-through-distribution.ts';
import { pullThroughRemote } from './resources/pull-through-remote.ts';
import { containerPushRepository, containerPushRepositoryVersions } from './resources/push-repository.ts';
import { containerRemote } from './resources/remote.ts';
import { containerRepository, containerRepositoryVersions } from './resources/repository.ts';
import { CONTAINER_UNITS } from './sync/content-tables.ts';
import { buildImage } from './tasks/build-image.ts';
import { migratePushRepository } from './tasks/migrate-push-repository.ts';
import { recursiveAdd } from './tasks/recursive-add.ts';
import { recursiveRemove } from './tasks/recursive-remove.ts';
import { sign } from './tasks/sign.ts';
import { synchronize } from './tasks/sync.ts';
import { tagImage } from './tasks/tag-image.ts';
import { untagImage } from './tasks/untag-image.ts';

/** Container images: mirrored from registries, served over the Registry API. */
export const containerPlugin = definePlugin({
  component: 'container',
  compatibleWith: '2.30.0',
  package: 'pulp-container',
  module: 'pulp_container.app',
  resources: [
    blob,
    manifest,
    tag,
    signature,
    containerRemote,
    pullThroughRemote,
    containerRepository,
    containerRepositoryVersions,
    containerPushRepository,
    containerPushRepositoryVersions,
    containerDistribution,
    pullThroughDistribution,
    containerNamespace,
  ],
  tasks: [synchronize, recursiveAdd, recursiveRemove, tagImage, untagImage, migratePushRepository, sign, buildImage],
  conditions: containerConditions,
  scopes: containerScopes,
  signingClasses: [manifestSigning],
  units: CONTAINER_UNITS,
  files: blobFiles,
  sweep: sweepPushes,
  routes: registryRoutes,
  routed: [tokenOperation],
  fastPath,
});
