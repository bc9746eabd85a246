import type { Queryable } from '../../db/database.ts';
import { empty, type Sql, sql } from '../../db/sql.ts';

/**
 * NOTIFY channel that says a repository is not what it was; the payload is its id. Where its latest version is another one, and nothing else
 * has changed, the payload is its id and the version's number, with a space between them.
 */
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
  readonly pulp_type: string;
  readonly retain_repo_versions: number | null;
}

/** Locks the repository against other changes of its versions until the transaction ends. Throws MissingRepositoryError. */
export async function lockRepository(tx: Queryable, id: string): Promise<LockedRepository> {
  const [repository] = await tx.query<LockedRepository>(sql`
    select id, pulp_type, retain_repo_versions from repository where id = ${id}::uuid for no key update`);
  if (!repository) throw new MissingRepositoryError(id);
  return repository;
}

/**
 * Expression of a statement: tells processes, once its transaction is committed, that the repository is not what it was, or, by its number, what its
 * latest version is.
 */
export const repositoryNotice = (id: string, latest?: Sql): Sql =>
  sql`pg_notify(${REPOSITORY_CHANNEL}, ${id}::text${latest === undefined ? empty : sql` || ' ' || ${latest}`})`;

/** A statement that tells no more than that. */
export const tellRepository = (id: string): Sql => sql`select ${repositoryNotice(id)}`;
