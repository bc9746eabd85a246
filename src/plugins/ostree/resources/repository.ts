import { defineRepository, modifyAction, syncAction, versionsOf } from '../../../core/plugin-api.ts';
import { OWNED, OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { bool } from '../../../kit/wire.ts';
import { repositoryPolicy, versionPolicy } from '../access/policies.ts';
import { modifyContent } from '../tasks/modify.ts';
import { synchronize } from '../tasks/sync.ts';
import { importAllAction, importCommitsAction } from './import-actions.ts';
import { ostreeRemote } from './remote.ts';

/** Mirrors the upstream into a new version (spec: OSTree, sync). */
const sync = syncAction({
  component: 'RepositorySyncURL',
  remote: ostreeRemote,
  repositoryType: 'ostree.ostreerepository',
  task: synchronize,
  args: (repository, remote, body) => ({
    repository_id: repository.id,
    remote_id: remote.id,
    mirror: body.mirror as boolean,
  }),
});

/** Adds and removes units (spec: OSTree, modify). */
const modify = modifyAction({
  repositoryType: 'ostree.ostreerepository',
  pulpType: 'ostree.ostree',
  task: modifyContent,
});

/** A repository of OSTree commits. */
export const ostreeRepository = defineRepository({
  plugin: 'ostree',
  endpoint: 'ostree',
  model: 'OstreeRepository',
  title: ['OSTree repository', 'OSTree repositories'],
  description: 'An OSTree repository: refs and their commits, in numbered versions.',
  fields: {
    compute_delta: {
      wire: bool(),
      default: true,
      column: 'd.compute_delta',
      description: 'Whether imports, and syncs with a depth, make static deltas from parents to the commits of refs.',
    },
  },
  policy: repositoryPolicy,
  roles: { ...OWNED_AND_VIEWED, owner: [...OWNED, 'sync', 'modify', 'repair', 'ostree.import_commits_ostreerepository'] },
  actions: { sync, modify, import_all: importAllAction, import_commits: importCommitsAction },
  detail: { table: 'ostree_repository', columns: ['compute_delta'] },
});

export const ostreeRepositoryVersions = versionsOf(ostreeRepository, { policy: versionPolicy });
