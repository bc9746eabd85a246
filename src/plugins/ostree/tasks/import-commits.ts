import { z } from 'zod';
import { defineTask } from '../../../kit/define-task.ts';
import { importChildCommits } from '../imports/import-repository.ts';

/**
 * Takes the commits that follow a ref's present one from a repository in a tar. `repository_name`: its folder in the tar.
 * Result: the version, or `{base_version: null}` where nothing has changed.
 */
export const importCommits = defineTask({
  name: 'pulp_ostree.app.tasks.importing.import_child_commits',
  args: z.strictObject({ repository_id: z.uuid(), artifact_id: z.uuid(), repository_name: z.string(), ref: z.string() }),
  rerun: true,
  run: importChildCommits,
});
