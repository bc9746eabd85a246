import { z } from 'zod';
import { defineTask, type TaskContext } from '../../kit/define-task.ts';
import { type CleanupPlan, planCleanup } from './cleanup-plan.ts';
import { removeDoomed } from './doomed-files.ts';
import { ORPHAN_CLEANUP } from './horizon.ts';
import { type Doomed, findLeftovers, removeArtifacts, removeDamaged, removeLeftovers } from './orphan-artifacts.ts';
import { type OrphanSearch, removeOrphans } from './orphan-content.ts';

const args = z.strictObject({
  /** Ids of the only content that may go; null: all of it. */
  content_ids: z.array(z.uuid()).nullable().default(null),
  /** Minutes; null: the setting's. */
  orphan_protection_time: z.int().min(0).nullable().default(null),
  dry_run: z.boolean().default(false),
});

/** The task's result. Files are fewer than artifacts where tasks at work may still need them, more where a crash had left some. */
interface Freed {
  readonly dry_run: boolean;
  readonly content: Readonly<Record<string, number>>;
  readonly artifacts: number;
  readonly files: number;
  readonly bytes: number;
  /** Doomed files that the next cleanup removes. */
  readonly files_left: number;
  readonly bytes_left: number;
}

/**
 * Removes content that is in no version of any repository and was not seen for a while, then artifacts without content, then their files
 * (spec: security, reliability; docs/adr/015). It may be run while everything else goes on, and again after a crash.
 */
export const orphanCleanup = defineTask({
  name: ORPHAN_CLEANUP,
  args,
  rerun: true,
  async run({ content_ids, orphan_protection_time, dry_run }, context): Promise<Freed> {
    const { services, task } = context;
    const protection = orphan_protection_time ?? services.config.PULP_ORPHAN_PROTECTION_TIME;
    const search = { domain_id: task.domain_id, protection, only: content_ids ?? undefined };
    const plan = await planCleanup(services.db, search, services.catalog.units);
    return dry_run ? foretell(plan, search, context) : clean(plan, search, context);
  },
});

const unitsOf = ({ content }: CleanupPlan): number => Object.values(content).reduce((sum, count) => sum + count, 0);

/** Says what would go. */
async function foretell(plan: CleanupPlan, search: OrphanSearch, context: TaskContext): Promise<Freed> {
  let { count: files, bytes } = plan.artifacts;
  if (!search.only) {
    for await (const leftovers of findLeftovers(context.services, search, context.signal)) {
      files += leftovers.length;
      bytes += leftovers.reduce((sum, { size }) => sum + size, 0);
    }
  }
  const { content, artifacts } = reports(plan, context);
  content.setSuffix('dry run: nothing was removed');
  artifacts.setSuffix(`dry run: nothing was removed; ${said({ count: files, bytes })} would be freed`);
  content.complete();
  artifacts.complete();
  return { dry_run: true, content: plan.content, artifacts: plan.artifacts.count, files, bytes, files_left: 0, bytes_left: 0 };
}

const reports = (plan: CleanupPlan, context: TaskContext) => ({
  content: context.progress('clean-up.content', 'Clean up orphan Content', unitsOf(plan)),
  artifacts: context.progress('clean-up.artifacts', 'Clean up orphan Artifacts', plan.artifacts.count),
});

async function clean(plan: CleanupPlan, search: OrphanSearch, context: TaskContext): Promise<Freed> {
  const { services, task, signal } = context;
  const { db } = services;
  const { content, artifacts } = reports(plan, context);
  const removed: Record<string, number> = {};
  const released = new Set<string>();
  for (const units of services.catalog.units) {
    const onRemoved = (count: number, artifactIds: readonly string[]) => {
      content.increment(count);
      if (count > 0) removed[units.pulp_type] = (removed[units.pulp_type] ?? 0) + count;
      // Of all artifacts it is found out which have no content, not remembered.
      if (search.only) for (const id of artifactIds) released.add(id);
    };
    await removeOrphans(db, search, units, onRemoved, signal);
  }
  content.complete();
  let doomed = 0;
  const onDoomed = ({ count }: Doomed) => {
    artifacts.increment(count);
    doomed += count;
  };
  await removeArtifacts(db, search.only ? { ...search, only: [...released] } : search, onDoomed, signal);
  if (!search.only) {
    await removeLeftovers(services, search, () => undefined, signal);
    await removeDamaged(services, task.domain_id);
  }
  const { gone, left } = await removeDoomed(services, task.domain_id, task.id, signal);
  const later = left.count > 0 ? `; ${said(left)} by the next cleanup, since tasks at work may need them` : '';
  artifacts.setSuffix(`${said(gone)} freed${later}`);
  artifacts.complete();
  const freed = { files: gone.count, bytes: gone.bytes, files_left: left.count, bytes_left: left.bytes };
  context.log.info({ content: removed, artifacts: doomed, ...freed }, 'orphans removed');
  return { dry_run: false, content: removed, artifacts: doomed, ...freed };
}

const said = ({ count, bytes }: Doomed): string => `${count} ${count === 1 ? 'file' : 'files'} of ${bytes} bytes`;
