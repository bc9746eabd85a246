import { ServedDistributions, type ServedDistribution as ServedOfAnyKind } from '../../../core/plugin-api.ts';
import { raw, type Sql, sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';

/** Whether content is, or was, mirrored into a repository, from a remote or by pulling through; `alias` is its row of container_repository. */
export const mirrorsInto = (alias: 'd' | 'held'): Sql =>
  sql`coalesce(${raw(alias)}.mirrored or ${raw(alias)}.origin = 'pull-through', false)`;

interface OwnColumns {
  readonly private: boolean;
  readonly namespace_id: string;
  readonly mirrors: boolean;
  /** What its repository is pulled through from; null where it is not, or one version of it is served for good. */
  readonly remote_id: string | null;
  /** The cache that it belongs to. */
  readonly cache_id: string | null;
}

/** A container distribution and the version that it serves now. */
export type ServedDistribution = ServedOfAnyKind & OwnColumns;

/** Whether its guard, if it has one, is that which lets all pass who may pull. */
export const isGuardedByPulls = ({ guard_type }: Pick<ServedDistribution, 'guard_type'>): boolean =>
  guard_type === null || guard_type === 'core.content_redirect';

/** Finds container distributions; those of other kinds are not there for it. */
export const servedDistributions = (services: Pick<Services, 'db' | 'config' | 'domain'>): ServedDistributions<OwnColumns> =>
  new ServedDistributions<OwnColumns>(services, {
    columns: sql`, c.private, c.namespace_id,
      ${mirrorsInto('held')} as mirrors,
      c.cache_id, case when d.repository_version_id is null then d.remote_id end as remote_id`,
    joins: sql`join container_distribution c on c.id = d.id left join container_repository held on held.id = d.repository_id`,
  });
