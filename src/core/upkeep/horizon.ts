import { type Sql, sql } from '../../db/sql.ts';

/** Tasks that only remove: nothing is kept for them. */
export const ORPHAN_CLEANUP = 'pulpcore.app.tasks.orphan.orphan_cleanup';
export const RECLAIM_SPACE = 'pulpcore.app.tasks.reclaim_space.reclaim_space';

/** What every orphan cleanup of a domain holds, whoever asks for it. */
export const orphansLock = (domainId: string): string => `pdrn:${domainId}:orphans`;

/** A thousand years: PostgreSQL's calendar has no room for all that the API takes. */
const MAX_MINUTES = 1000 * 366 * 24 * 60;

/**
 * SQL: content and artifacts that were seen last before this moment are relied on by nobody (docs/adr/015): they were not seen for so many
 * minutes, nor since the oldest unfinished task was asked for. A request may have found shortly before that what it asks a task
 * to work on.
 */
export const horizon = (minutes: number): Sql => sql`
  least(now() - ${Math.min(minutes, MAX_MINUTES)}::float8 * interval '1 minute', (
    select min(t.pulp_created) - interval '1 minute' from task t
    where t.state in ('waiting', 'running', 'canceling') and t.name not in (${ORPHAN_CLEANUP}, ${RECLAIM_SPACE})))`;
