import { definePlugin } from '../../kit/define-plugin.ts';
import { ostreeScopes } from './access/policies.ts';
import { OSTREE_UNITS } from './content/content-tables.ts';
import { commit, config, object, ref, summary } from './resources/content.ts';
import { ostreeDistribution } from './resources/distribution.ts';
import { ostreeRemote } from './resources/remote.ts';
import { ostreeRepository, ostreeRepositoryVersions } from './resources/repository.ts';
import { ostreeContentUnit } from './resources/uploaded-content.ts';
import { ostreeContent } from './serve/ostree-content.ts';
import { ostreeFiles } from './serve/ostree-files.ts';
import { importAll } from './tasks/import-all.ts';
import { importCommits } from './tasks/import-commits.ts';
import { modifyContent } from './tasks/modify.ts';
import { synchronize } from './tasks/sync.ts';

/** OSTree repositories: mirrored from other servers, imported from tars, served as files. */
export const ostreePlugin = definePlugin({
  component: 'ostree',
  compatibleWith: '2.6.1',
  package: 'pulp-ostree',
  module: 'pulp_ostree.app',
  resources: [
    ref,
    commit,
    object,
    config,
    summary,
    ostreeContentUnit,
    ostreeRemote,
    ostreeRepository,
    ostreeRepositoryVersions,
    ostreeDistribution,
  ],
  tasks: [synchronize, importAll, importCommits, modifyContent],
  scopes: ostreeScopes,
  units: OSTREE_UNITS,
  files: ostreeFiles,
  content: ostreeContent,
});
