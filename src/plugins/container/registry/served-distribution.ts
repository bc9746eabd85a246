import { ServedDistributions, type ServedDistribution as ServedOfAnyKind } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';

interface OwnColumns {
  readonly private: boolean;
  readonly namespace_id: string;
  /** Whether it serves one version for good. */
  readonly pinned: boolean;
  /** Whether content is, or was, mirrored into its repository, from a remote or by pulling through. */
  readonly mirrors: boolean;
}

/** A container distribution and the version that it serves now. */
export type ServedDistribution = ServedOfAnyKind & OwnColumns;

/** Whether its guard, if it has one, is that which lets all pass who may pull. */
export const isGuardedByPulls = ({ guard_type }: ServedDistribution): boolean =>
  guard_type === null || guard_type === 'core.content_redirect';

/** Finds container distributions; those of other kinds are not there for it. */
export const servedDistributions = (services: Pick<Services, 'db' | 'config' | 'domain'>): ServedDistributions<OwnColumns> =>
  new ServedDistributions<OwnColumns>(services, {
    columns: sql`, c.private, c.namespace_id, d.repository_version_id is not null as pinned,
      coalesce(held.mirrored or held.origin = 'pull-through', false) as mirrors`,
    joins: sql`join container_distribution c on c.id = d.id left join container_repository held on held.id = d.repository_id`,
  });
