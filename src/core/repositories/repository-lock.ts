import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { ContentCounts } from './version-counts.ts';

/** NOTIFY channel that says a repository's latest version is another one; the payload is the repository's id. */
export const REPOSITORY_CHANNEL = 'deckle_repository';

/** The repository went while the task waited or ran. */
export class MissingRepositoryError extends Error {
  override readonly name = 'MissingRepositoryError';
  constructor(id: string) {
    super(`repository ${id} does not exist any more`);
  }
}

export interface LockedRepository {
  readonly id: string;
  /** The number that the next version gets. */
  readonly next_version: number;
  readonly retain_repo_versions: number | null;
  /** What the latest version holds. */
  readonly present: ContentCounts;
}

/** Locks the repository against other changes of its versions until the transaction ends. Throws MissingRepositoryError. */
export async function lockRepository(tx: Queryable, id: string): Promise<LockedRepository> {
  // The lock first: the counts must be read after whoever held it has committed, so they need a statement of their own.
  const [repository] = await tx.query<Omit<LockedRepository, 'present'>>(sql`
    select id, next_version, retain_repo_versions from repository where id = ${id}::uuid for no key update`);
  if (!repository) throw new MissingRepositoryError(id);
  const [latest] = await tx.query<{ present: ContentCounts }>(sql`
    select present from repository_version where repository_id = ${id}::uuid order by number desc limit 1`);
  return { ...repository, present: latest ? latest.present : {} };
}

/** Tells listening processes, once the transaction is committed, that the repository's latest version is another one. */
export async function notifyRepository(tx: Queryable, id: string): Promise<void> {
  await tx.query(sql`select pg_notify(${REPOSITORY_CHANNEL}, ${id})`);
}
