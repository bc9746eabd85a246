import { z } from 'zod';
import { type ContentSelection, contentIds, holdContent } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { defineTask, type TaskContext } from '../../../kit/define-task.ts';
import type { ServedVersion } from '../../../kit/served-file.ts';
import { closureOf } from '../content/closure.ts';
import { copied, copyOf } from '../content/copies.ts';
import { publishContent } from '../content/publish-content.ts';

const source = z.strictObject({
  repository_id: z.uuid(),
  /** Of the version to copy from; null: the latest, when the task runs. */
  number: z.int().min(0).nullable(),
});

/** What is added: units, or what a copy brings. */
const selected = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('units'), ids: z.array(z.uuid()) }),
  z.strictObject({ from: z.literal('version'), source, copied }),
]);

/** Adds content, with all that it consists of (spec: repositories, Container actions). Result: null. */
export const recursiveAdd = defineTask({
  name: 'pulp_container.app.tasks.recursive_add.recursive_add_content',
  args: z.strictObject({ repository_id: z.uuid(), selected }),
  rerun: true,
  async run(args, context) {
    await publishContent(context, args.repository_id, { add: await selectionOf(args.selected, context) });
    return null;
  },
});

async function selectionOf(asked: z.output<typeof selected>, context: TaskContext): Promise<ContentSelection> {
  if (asked.from === 'version') return copyOf(await versionOf(asked.source, context), asked.copied);
  await holdContent(context.services.db, asked.ids);
  return closureOf(contentIds(asked.ids));
}

async function versionOf({ repository_id, number }: z.output<typeof source>, context: TaskContext): Promise<ServedVersion> {
  const [version] = await context.services.db.query<ServedVersion>(sql`
    select repository_id, number from repository_version
    where repository_id = ${repository_id}::uuid and number = coalesce(${number}::int, number) order by number desc limit 1`);
  if (!version) throw new Error('The repository, or the version to copy from, was deleted before the task ran.');
  return version;
}
