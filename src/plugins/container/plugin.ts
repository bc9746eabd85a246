import { definePlugin } from '../../kit/define-plugin.ts';
import { collectionPath } from '../../kit/names.ts';
import { fastPath, registryRoutes } from './registry/registry-routes.ts';
import { blob, manifest, signature, tag } from './resources/content.ts';
import { containerDistribution } from './resources/distribution.ts';
import { containerNamespace } from './resources/namespace.ts';
import { containerRemote } from './resources/remote.ts';
import { containerRepository, containerRepositoryVersions } from './resources/repository.ts';
import { synchronize } from './tasks/sync.ts';

/** Container images: mirrored from registries, served over the Registry API. */
export const containerPlugin = definePlugin({
  component: 'container',
  compatibleWith: '2.30.0',
  package: 'pulp-container',
  module: 'pulp_container.app',
  contentTypes: [
    { pulp_type: 'container.blob', collection: collectionPath(blob), model: blob.model },
    { pulp_type: 'container.manifest', collection: collectionPath(manifest), model: manifest.model },
    { pulp_type: 'container.tag', collection: collectionPath(tag), model: tag.model },
    { pulp_type: 'container.signature', collection: collectionPath(signature), model: signature.model },
  ],
  resources: [
    blob,
    manifest,
    tag,
    signature,
    containerRemote,
    containerRepository,
    containerRepositoryVersions,
    containerDistribution,
    containerNamespace,
  ],
  tasks: [synchronize],
  routes: registryRoutes,
  fastPath,
});
