import { definePlugin } from '../../kit/define-plugin.ts';
import { API_ROOT } from '../../kit/names.ts';
import { ostreeContent } from './serve/ostree-content.ts';
import { importAll } from './tasks/import-all.ts';
import { importCommits } from './tasks/import-commits.ts';
import { modifyContent } from './tasks/modify.ts';
import { synchronize } from './tasks/sync.ts';

const at = (endpoint: string): string => `${API_ROOT}content/ostree/${endpoint}/`;

/** OSTree repositories: mirrored from other servers, imported from tars, served as files. */
export const ostreePlugin = definePlugin({
  component: 'ostree',
  compatibleWith: '2.6.1',
  package: 'pulp-ostree',
  module: 'pulp_ostree.app',
  contentTypes: [
    { pulp_type: 'ostree.refs', collection: at('refs'), model: 'OstreeRef' },
    { pulp_type: 'ostree.commit', collection: at('commits'), model: 'OstreeCommit' },
    { pulp_type: 'ostree.object', collection: at('objects'), model: 'OstreeObject' },
    { pulp_type: 'ostree.config', collection: at('configs'), model: 'OstreeConfig' },
    { pulp_type: 'ostree.summary', collection: at('summaries'), model: 'OstreeSummary' },
    { pulp_type: 'ostree.content', collection: at('content'), model: 'OstreeContent' },
  ],
  resources: [],
  tasks: [synchronize, importAll, importCommits, modifyContent],
  content: ostreeContent,
});
