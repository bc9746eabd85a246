import {
  anyOf,
  type ContentSelection,
  contentIds,
  inVersion,
  type ModifyArgs,
  type VersionChange,
} from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { join, raw, sql } from '../../../db/sql.ts';
import { OBJECTS, UNIQUE_IN_VERSION } from './content-tables.ts';

/** What a modification starts from: the units of a version. */
export interface StartingPoint {
  readonly repository_id: string;
  readonly number: number;
  /** Whether it is the repository's latest version, which changes are made to. */
  readonly latest: boolean;
}

/** A modification, worked out. */
export interface Modification {
  readonly change: VersionChange;
  /** Added too, with all that they consist of. */
  readonly commits: readonly string[];
  /** What is there before anything is added. */
  readonly kept: ContentSelection;
}

const presentIn = (start: StartingPoint): ContentSelection =>
  sql`select rc.content_id as id from repository_content rc where ${inVersion(start)}`;

const without = (selection: ContentSelection, removed: ContentSelection): ContentSelection =>
  sql`select s.id from (${selection}) as s(id) except (${removed})`;

/**
 * The change to the latest version that makes the asked-for one (spec: OSTree, modify). With a ref come its commit and that commit's
 * objects, with a commit its objects; they go with it too, as far as no other unit of the version needs them. Objects by themselves are
 * neither added nor removed: a commit needs all of its own.
 */
export async function modificationOf(db: Queryable, start: StartingPoint, asked: ModifyArgs): Promise<Modification> {
  const added = await unitsOf(db, asked.add);
  const commits = [...new Set([...added.commits, ...added.named])];
  const add = contentIds(added.ids);
  if (asked.remove === '*') return { change: { add, mirror: true }, commits, kept: contentIds([]) };
  const remove = await removalOf(db, start, await unitsOf(db, asked.remove), added);
  const kept = without(presentIn(start), remove);
  return start.latest
    ? { change: { add, remove }, commits, kept }
    : { change: { add: anyOf([without(kept, replacedBy(asked.add)), add]), mirror: true }, commits, kept };
}

/** Units that a client names, apart: objects are left out. */
interface Units {
  /** Refs, configs, summaries and other files, which are nothing but themselves; and the commits. */
  readonly ids: readonly string[];
  readonly refs: readonly string[];
  readonly commits: readonly string[];
  /** Of the refs. */
  readonly named: readonly string[];
}

async function unitsOf(db: Queryable, ids: readonly string[]): Promise<Units> {
  const rows = await db.query<{ id: string; pulp_type: string; commit_id: string | null }>(sql`
    select c.id, c.pulp_type, r.commit_id from content c left join ostree_ref r on r.id = c.id
    where c.id = any(${ids}::uuid[]) and c.pulp_type <> ${OBJECTS.pulp_type}`);
  const refs = rows.filter((row) => row.commit_id !== null);
  return {
    ids: rows.map((row) => row.id),
    refs: refs.map((row) => row.id),
    commits: rows.filter((row) => row.pulp_type === 'ostree.commit').map((row) => row.id),
    named: refs.map((row) => row.commit_id as string),
  };
}

/** What the commits consist of and none of the others does. */
const objectsOfOnly = (commits: readonly string[], others: readonly string[]): ContentSelection => sql`
  select o.object_id as id from ostree_commit_object o
  where o.commit_id = any(${commits}::uuid[]) and not exists (
    select from ostree_commit_object u where u.object_id = o.object_id and u.commit_id = any(${others}::uuid[]))`;

async function removalOf(db: Queryable, start: StartingPoint, removed: Units, added: Units): Promise<ContentSelection> {
  if (removed.ids.length === 0) return contentIds([]);
  const present = presentIn(start);
  // What the history of another ref or commit of the version needs stays, though its own ref goes.
  const commits = await db.query<{ id: string; goes: boolean }>(sql`
    with recursive present as materialized (${present}),
    going as (select unnest(${[...removed.commits, ...removed.named]}::uuid[]) as id),
    live as (
      select k.id, k.parent_commit_id from ostree_commit k
      where k.id = any(${[...added.commits, ...added.named]}::uuid[])
        or (k.id in (select id from present) and k.id not in (select id from going))
        or k.id in (select r.commit_id from ostree_ref r where r.id in (select id from present) and r.id <> all(${removed.refs}::uuid[]))
      union
      select k.id, k.parent_commit_id from live join ostree_commit k on k.id = live.parent_commit_id)
    select p.id, (p.id = any(${removed.commits}::uuid[]) or (p.id in (select id from going) and p.id not in (select id from live))) as goes
    from present p join ostree_commit k on k.id = p.id`);
  const goes = commits.filter((commit) => commit.goes).map((commit) => commit.id);
  const stays = commits.filter((commit) => !commit.goes).map((commit) => commit.id);
  return anyOf([contentIds([...removed.ids, ...goes]), objectsOfOnly(goes, stays)]);
}

/** Units, of whatever repository, whose place the added ones take. */
const replacedBy = (added: readonly string[]): ContentSelection =>
  join(
    UNIQUE_IN_VERSION.map(
      ({ table, column }) => sql`
        select old.id from ${raw(table)} old join ${raw(table)} a on a.${raw(column)} = old.${raw(column)} and a.id <> old.id
        where a.id = any(${added}::uuid[])`,
    ),
    ' union ',
  );
