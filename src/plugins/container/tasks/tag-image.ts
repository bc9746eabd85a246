import { z } from 'zod';
import { contentIds, saveContent } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import { defineTask, type TaskContext } from '../../../kit/define-task.ts';
import { hrefOf, prnType } from '../../../kit/names.ts';
import { manifestInLatest } from '../content/latest-content.ts';
import { publishContent } from '../content/publish-content.ts';
import { tag } from '../resources/content.ts';
import { TAGS } from '../sync/content-tables.ts';

/** Names a manifest of the latest version; a tag of that name moves (spec: repositories, Container actions). Result: null. */
export const tagImage = defineTask({
  name: 'pulp_container.app.tasks.tag.tag_image',
  args: z.strictObject({ repository_id: z.uuid(), tag: z.string(), digest: z.string() }),
  rerun: true,
  async run(args, context) {
    const { db } = context.services;
    const manifestId = await manifestInLatest(db, args.repository_id, args.digest);
    if (manifestId === undefined)
      throw new Error(`The manifest ${args.digest} was removed from the repository before the task ran.`);
    const { id, isNew } = await db.transaction((tx) => saveTag(tx, context, args.tag, manifestId));
    await publishContent(context, args.repository_id, { add: contentIds([id]) });
    if (isNew) context.created(hrefOf(tag, id), `prn:${prnType(tag)}:${id}`);
    return null;
  },
});

async function saveTag(
  tx: Queryable,
  { task }: TaskContext,
  name: string,
  tagged_manifest_id: string,
): Promise<{ id: string; isNew: boolean }> {
  const [known] = await tx.query(
    sql`select from container_tag where name = ${name} and tagged_manifest_id = ${tagged_manifest_id}::uuid`,
  );
  const [id] = await saveContent(tx, task.domain_id, TAGS, [{ name, tagged_manifest_id, artifact_id: null }]);
  if (id === undefined) throw new Error(`the tag ${name} could not be saved`);
  return { id, isNew: known === undefined };
}
