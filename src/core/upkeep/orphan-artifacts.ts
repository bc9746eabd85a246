import { v7 } from 'uuid';
import type { Database } from '../../db/database.ts';
import { empty, type Sql, sql } from '../../db/sql.ts';
import type { Services } from '../../kit/services.ts';
import { batches } from '../../lib/batches.ts';
import { forEachConcurrent } from '../../lib/concurrent-map.ts';
import { sha256OfKey } from '../../storage/layout.ts';
import { horizon } from './horizon.ts';
import { byIndexes, type OrphanSearch } from './orphan-content.ts';
import { pagesById } from './pages-by-id.ts';

const PAGE = 20_000;
const BATCH = 500;
const BATCHES_AT_ONCE = 3;
const STATS_AT_ONCE = 8;

/** Files whose artifacts were removed: they are doomed. */
export interface Doomed {
  readonly count: number;
  readonly bytes: number;
}

/** A condition on artifact `a`: no content has it, and nobody has seen it lately. */
export const isForsaken = ({ domain_id, protection, only }: OrphanSearch): Sql => sql`
  a.domain_id = ${domain_id}::uuid and a.last_seen < ${horizon(protection)}
  ${only ? sql`and a.id = any(${only}::uuid[])` : empty}
  and not exists (select from content c where c.artifact_id = a.id)`;

/**
 * Removes the artifacts that no content has, batch by batch, and dooms their files in the same transaction. `search.only` are ids of
 * artifacts. `onDoomed` is told of each batch.
 */
export async function removeArtifacts(
  db: Database,
  search: OrphanSearch,
  onDoomed: (doomed: Doomed) => void,
  signal: AbortSignal,
): Promise<void> {
  const forsaken = (after: string) => sql`select a.id from artifact a where a.id > ${after}::uuid and ${isForsaken(search)}`;
  const remove = async (ids: readonly string[]) => onDoomed(await removeBatch(db, search, ids));
  for await (const page of pagesById(db, PAGE, forsaken)) {
    const ids = page.map(({ id }) => id);
    await forEachConcurrent(batches(ids, BATCH), remove, { limit: BATCHES_AT_ONCE, signal });
  }
}

/** A `delete … returning` of artifacts whose files are doomed with them; answers how many. */
const doom = (removal: Sql): Sql => sql`
  with gone as (${removal} returning domain_id, sha256, file, size),
  doomed as (
    insert into doomed_file (domain_id, sha256, file, size) select domain_id, sha256, file, size from gone
    on conflict (domain_id, sha256) do update set aside_at = null)
  select count(*) as count, coalesce(sum(size), 0)::bigint as bytes from gone`;

function removeBatch(db: Database, search: OrphanSearch, ids: readonly string[]): Promise<Doomed> {
  return db.transaction(async (tx) => {
    await byIndexes(tx);
    const locked = await tx.query<{ id: string }>(sql`
      select a.id from artifact a where a.id = any(${ids}::uuid[]) and a.last_seen < ${horizon(search.protection)}
      order by a.id for update skip locked`);
    const [doomed] = await tx.query<Doomed>(
      doom(sql`delete from artifact a where a.id = any(${locked.map(({ id }) => id)}::uuid[]) and ${isForsaken(search)}`),
    );
    return doomed as Doomed;
  });
}

/** A stored file that has no artifact. */
interface Leftover {
  readonly key: string;
  readonly sha256: string;
  readonly size: number;
}

/** Files without an artifact, which a crash has left, save those that came lately: a file is stored before its row is written. */
export async function* findLeftovers(
  { db, storage }: Pick<Services, 'db' | 'storage'>,
  { domain_id, protection }: OrphanSearch,
  signal: AbortSignal,
): AsyncGenerator<readonly Leftover[]> {
  const [spared] = await db.query<{ since: string }>(sql`select ${horizon(protection)} as since`);
  if (!spared) throw new Error('the database did not answer a query without conditions');
  const since = new Date(spared.since);
  for await (const keys of storage.list('artifact')) {
    signal.throwIfAborted();
    const leftovers: Leftover[] = [];
    const look = async ({ key, sha256 }: Omit<Leftover, 'size'>) => {
      const found = await storage.stat(key);
      if (found && found.modified < since) leftovers.push({ key, sha256, size: found.size });
    };
    const files = await withoutArtifact(db, domain_id, keys);
    await forEachConcurrent(files, look, { limit: STATS_AT_ONCE, signal });
    if (leftovers.length > 0) yield leftovers;
  }
}

/**
 * Dooms files without an artifact. Each is given the row that it lacks, and loses it again, in one transaction: so that whoever is about to
 * write that row comes before or after, and in the second case learns that the file is doomed.
 */
export async function removeLeftovers(
  services: Pick<Services, 'db' | 'storage'>,
  search: OrphanSearch,
  onDoomed: (doomed: Doomed) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const leftovers of findLeftovers(services, search, signal)) {
    for (const batch of batches(leftovers, BATCH)) onDoomed(await doomLeftovers(services.db, search.domain_id, batch));
  }
}

/** Removes what repairs have kept of damaged files, where the artifact has gone. */
export async function removeDamaged({ db, storage }: Pick<Services, 'db' | 'storage'>, domainId: string): Promise<void> {
  for await (const keys of storage.listAside('artifact', 'damaged')) {
    for (const { key } of await withoutArtifact(db, domainId, keys)) await storage.dropAside(key, 'damaged');
  }
}

/** Those of the files that have no artifact, and are not doomed already. What is named like no artifact is none of ours. */
async function withoutArtifact(
  db: Database,
  domainId: string,
  keys: readonly string[],
): Promise<readonly Omit<Leftover, 'size'>[]> {
  const files = keys.flatMap((key) => {
    const sha256 = sha256OfKey(key);
    return sha256 === undefined ? [] : [{ key, sha256 }];
  });
  const rows = await db.query<{ sha256: string }>(sql`
    select k.sha256 from unnest(${files.map(({ sha256 }) => sha256)}::text[]) as k(sha256)
    where not exists (select from artifact a where a.domain_id = ${domainId}::uuid and a.sha256 = k.sha256)
      and not exists (select from doomed_file d where d.domain_id = ${domainId}::uuid and d.sha256 = k.sha256)`);
  const without = new Set(rows.map(({ sha256 }) => sha256));
  return files.filter(({ sha256 }) => without.has(sha256));
}

function doomLeftovers(db: Database, domainId: string, leftovers: readonly Leftover[]): Promise<Doomed> {
  const sorted = leftovers.toSorted((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  return db.transaction(async (tx) => {
    const adopted = await tx.query<{ id: string }>(sql`
      insert into artifact (id, domain_id, file, size, sha256, pulp_last_updated)
      select t.id, ${domainId}::uuid, t.file, t.size, t.sha256, now()
      from unnest(${sorted.map(() => v7())}::uuid[], ${sorted.map(({ key }) => key)}::text[],
        ${sorted.map(({ size }) => size)}::bigint[], ${sorted.map(({ sha256 }) => sha256)}::text[]) as t(id, file, size, sha256)
      on conflict (domain_id, sha256) do nothing returning id`);
    const [doomed] = await tx.query<Doomed>(
      doom(sql`delete from artifact where id = any(${adopted.map(({ id }) => id)}::uuid[])`),
    );
    return doomed as Doomed;
  });
}
