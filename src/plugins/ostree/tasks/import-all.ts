import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { importAllRefs } from '../imports/import-repository.ts';

/**
 * Takes all refs and commits of a repository in a tar into the repository's next version. `repository_name`: its folder in the tar.
 * Result: the version, or `{base_version: null}` where nothing has changed.
 */
export const importAll = defineTask({
  name: 'pulp_ostree.app.tasks.importing.import_all_refs_and_commits',
  args: z.strictObject({ repository_id: z.uuid(), artifact_id: z.uuid(), repository_name: z.string() }),
  rerun: true,
  run: importAllRefs,
});
