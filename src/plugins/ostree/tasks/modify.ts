import { holdContent, type ModifyArgs, modifyArgs, noteVersion, refuseOverwrite } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { defineTask, type TaskContext } from '../../../kit/define-task.ts';
import { UNIQUE_IN_VERSION } from '../content/content-tables.ts';
import { modificationOf, type StartingPoint } from '../content/modification.ts';
import { publishOstreeVersion } from '../content/publish-version.ts';

/** Adds and removes units (spec: OSTree, modify). Result: null. */
export const modifyContent = defineTask({
  name: 'pulp_ostree.app.tasks.modifying.modify_content',
  args: modifyArgs,
  rerun: true,
  run: modify,
});

async function modify(asked: ModifyArgs, context: TaskContext): Promise<null> {
  const { db } = context.services;
  await holdContent(db, asked.add);
  const { change, commits, kept } = await modificationOf(db, await startingPoint(asked, context), asked);
  if (!asked.overwrite) await refuseOverwrite(db, asked.add, kept, UNIQUE_IN_VERSION);
  const version = await publishOstreeVersion(context, {
    repository_id: asked.repository_id,
    change,
    commits,
    ...(asked.base_version_id === null ? {} : { base_version_id: asked.base_version_id }),
  });
  if (version) noteVersion(context, { pulpType: 'ostree.ostree', repository_id: asked.repository_id }, version);
  return null;
}

async function startingPoint(
  { repository_id, base_version_id }: ModifyArgs,
  { services: { db } }: TaskContext,
): Promise<StartingPoint> {
  const [start] = await db.query<StartingPoint>(
    base_version_id === null
      ? sql`select repository_id, number, true as latest from repository_version
          where repository_id = ${repository_id}::uuid order by number desc limit 1`
      : sql`select repository_id, number, false as latest from repository_version where id = ${base_version_id}::uuid`,
  );
  if (!start) throw new Error('The repository, or the version to start from, was deleted before the task ran.');
  return start;
}
