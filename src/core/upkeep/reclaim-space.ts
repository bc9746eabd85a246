import { z } from 'zod';
import { join, raw, type Sql, sql } from '../../db/sql.ts';
import { defineTask } from '../../kit/define-task.ts';
import type { UnitTable } from '../../kit/unit-table.ts';
import { batches } from '../../lib/batches.ts';
import { removeDoomed } from './doomed-files.ts';
import { horizon, RECLAIM_SPACE } from './horizon.ts';
import { removeArtifacts } from './orphan-artifacts.ts';

/** Units of one transaction. */
const BATCH = 500;

/**
 * Removes the stored files of content that is only in these repositories, and that a remote can give again; from then on it is content on
 * demand (spec: repositories, housekeeping). Content of kept versions keeps its files, and so does what a task at work may rely on.
 * Result: how much was freed.
 */
export const reclaimSpace = defineTask({
  name: RECLAIM_SPACE,
  args: z.strictObject({ repository_ids: z.array(z.uuid()), kept_version_ids: z.array(z.uuid()) }),
  rerun: true,
  async run({ repository_ids, kept_version_ids }, context) {
    const { services, task, signal } = context;
    const types = services.catalog.units.filter(({ reclaimable }) => reclaimable);
    const which = sql`
      c.domain_id = ${task.domain_id}::uuid and c.artifact_id is not null and c.pulp_type = any(${types.map(({ pulp_type }) => pulp_type)}::text[])
      and c.last_seen < ${horizon(0)} and ${isReclaimed(repository_ids, kept_version_ids)} and ${isAwaitedByNobody(types)}`;
    const found = await services.db.query<{ id: string; artifact_id: string }>(sql`
      select c.id, c.artifact_id from content c where ${which} order by c.id`);
    const released = new Set(found.map(({ artifact_id }) => artifact_id));
    const progress = context.progress('reclaim-space.artifact', 'Reclaim disk space', released.size);
    for (const batch of batches(found, BATCH)) {
      signal.throwIfAborted();
      const ids = batch.map(({ id }) => id);
      await services.db.transaction(async (tx) => {
        const locked = await tx.query<{ id: string }>(sql`
          select c.id from content c where c.id = any(${ids}::uuid[]) order by c.id for no key update skip locked`);
        await tx.execute(sql`
          update content c set artifact_id = null where c.id = any(${locked.map(({ id }) => id)}::uuid[]) and ${which}`);
      });
    }
    const search = { domain_id: task.domain_id, protection: 0, only: [...released] };
    await removeArtifacts(services.db, search, ({ count }) => progress.increment(count), signal);
    const { gone, left } = await removeDoomed(services, task.domain_id, task.id, signal);
    progress.setSuffix(
      `${gone.count} files of ${gone.bytes} bytes freed${left.count > 0 ? `; ${left.count} of ${left.bytes} bytes by the next cleanup` : ''}`,
    );
    progress.complete();
    return { files: gone.count, bytes: gone.bytes, files_left: left.count, bytes_left: left.bytes };
  },
});

/** A condition on content `c` of these types. */
const isAwaitedByNobody = (types: readonly UnitTable[]): Sql =>
  join(
    [
      sql`true`,
      ...types.flatMap(({ awaitedBy: by }) =>
        by ? [sql`not exists (select from ${raw(by.table)} l where l.${raw(by.needs)} = c.id)`] : [],
      ),
    ],
    ' and ',
  );

/** A condition on content `c`: in one of the repositories and in no other, in none of the versions, and some remote has it. */
const isReclaimed = (repositories: readonly string[], kept: readonly string[]): Sql =>
  join(
    [
      sql`exists (select from repository_content rc where rc.content_id = c.id)`,
      sql`not exists (
        select from repository_content rc where rc.content_id = c.id and rc.repository_id <> all(${repositories}::uuid[]))`,
      sql`not exists (
        select from repository_content rc join repository_version v on v.repository_id = rc.repository_id
        where rc.content_id = c.id and v.id = any(${kept}::uuid[])
          and rc.version_added <= v.number and (rc.version_removed is null or rc.version_removed > v.number))`,
      sql`exists (select from remote_content m where m.content_id = c.id)`,
    ],
    ' and ',
  );
