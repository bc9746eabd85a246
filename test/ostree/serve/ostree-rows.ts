import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { v7 } from 'uuid';
import { saveArtifacts } from '../../../src/core/artifacts/save-artifacts.ts';
import { type ContentTable, saveContent } from '../../../src/core/content/save-content.ts';
import { sql } from '../../../src/db/sql.ts';
import type { Services } from '../../../src/kit/services.ts';
import { COMMITS, CONFIGS, CONTENTS, OBJECTS, REFS, SUMMARIES } from '../../../src/plugins/ostree/content/content-tables.ts';
import { artifactKey } from '../../../src/storage/layout.ts';

/** A file of an archive repository. */
export interface RepositoryFile {
  /** `objects/ab/….filez` */
  readonly path: string;
  readonly bytes: Buffer;
}

export interface Serves {
  readonly repository_id?: string;
  readonly repository_version_id?: string;
  readonly content_guard_id?: string;
  readonly hidden?: boolean;
}

/** The names below a repository that it serves; the others are its own business. */
const SERVED = /^(?:config|summary|summary\.sig|refs\/heads\/.+|objects\/.+|deltas\/.+|delta-indexes\/.+)$/;
const OBJECT = /^objects\/(..)\/(.{62})\.(commit|filez|dirtree|dirmeta)$/;
const TYPES: Readonly<Record<string, number>> = { filez: 1, dirtree: 2, dirmeta: 3 };

/** The files that a repository in a folder serves, in the order of their paths. */
export async function filesOf(folder: string): Promise<RepositoryFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => SERVED.test(path))
    .sort();
  return Promise.all(paths.map(async (path) => ({ path, bytes: await readFile(join(folder, path)) })));
}

interface Unit<Column extends string = string> {
  readonly table: ContentTable<Column>;
  readonly row: Readonly<Record<Column, unknown>>;
  readonly bytes: Buffer;
}

const unit = <Column extends string>(table: ContentTable<Column>, row: Readonly<Record<Column, unknown>>, bytes: Buffer): Unit =>
  ({ table, row, bytes }) as Unit;

const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

function unitOf({ path, bytes }: RepositoryFile): Unit {
  const [, folder, rest, suffix] = OBJECT.exec(path) ?? [];
  const checksum = `${folder}${rest}`;
  if (suffix === 'commit') return unit(COMMITS, { checksum, parent_commit_id: null, timestamp: 0, version: null }, bytes);
  if (suffix !== undefined) return unit(OBJECTS, { checksum, typ: TYPES[suffix] }, bytes);
  if (path === 'config') return unit(CONFIGS, { sha256: sha256Of(bytes) }, bytes);
  if (path === 'summary') return unit(SUMMARIES, { sha256: sha256Of(bytes) }, bytes);
  return unit(CONTENTS, { relative_path: path, digest: sha256Of(bytes) }, bytes);
}

/** Writes repositories to database and storage as a sync leaves them. */
export class OstreeRows {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async remote(url: string, policy = 'on_demand'): Promise<string> {
    const { db, domain } = this.#services;
    const id = v7();
    await db.execute(sql`
      insert into remote (id, domain_id, pulp_type, name, url, policy, max_retries, pulp_last_updated)
      values (${id}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${id}, ${url}, ${policy}, 0, now())`);
    await db.execute(sql`insert into ostree_remote (id) values (${id}::uuid)`);
    return id;
  }

  async repository(remoteId: string | null = null): Promise<string> {
    const { db, domain } = this.#services;
    const id = v7();
    await db.execute(sql`
      insert into repository (id, domain_id, pulp_type, name, remote_id, pulp_last_updated)
      values (${id}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${id}, ${remoteId}::uuid, now())`);
    await db.execute(sql`insert into ostree_repository (id) values (${id}::uuid)`);
    await db.execute(sql`
      insert into repository_version (id, repository_id, number, pulp_last_updated) values (${v7()}::uuid, ${id}::uuid, 0, now())`);
    return id;
  }

  async distribution(basePath: string, serves: Serves): Promise<string> {
    const { db, domain } = this.#services;
    const id = v7();
    await db.transaction(async (tx) => {
      await tx.execute(sql`
        insert into distribution (id, domain_id, pulp_type, name, base_path, repository_id, repository_version_id, content_guard_id,
          hidden, pulp_last_updated)
        values (${id}::uuid, ${domain.id}::uuid, 'ostree.ostree', ${basePath}, ${basePath}, ${serves.repository_id ?? null}::uuid,
          ${serves.repository_version_id ?? null}::uuid, ${serves.content_guard_id ?? null}::uuid, ${serves.hidden ?? false}, now())`);
      await tx.execute(sql`insert into ostree_distribution (id) values (${id}::uuid)`);
      await tx.query(sql`select pg_notify('deckle_distribution', ${id})`);
    });
    return id;
  }

  /** Has the distribution serve something else, as an update by the REST API does. */
  async serve(distributionId: string, serves: Serves): Promise<void> {
    await this.#services.db.transaction(async (tx) => {
      await tx.execute(sql`
        update distribution set repository_id = ${serves.repository_id ?? null}::uuid,
          repository_version_id = ${serves.repository_version_id ?? null}::uuid where id = ${distributionId}::uuid`);
      await tx.query(sql`select pg_notify('deckle_distribution', ${distributionId})`);
    });
  }

  /** Publishes a version that holds exactly these files, the file objects only known, of those remotes. Answers its id. */
  async publish(repositoryId: string, files: readonly RepositoryFile[], onDemandFrom?: readonly string[]): Promise<string> {
    const units = files.filter(({ path }) => !path.startsWith('refs/')).map(unitOf);
    const known = (one: Unit): boolean => onDemandFrom !== undefined && one.row.typ === TYPES.filez;
    const artifacts = await this.#store(units.filter((one) => !known(one)).map(({ bytes }) => bytes));
    const held = new Map<string, string[]>();
    const commits = new Map<unknown, string>();
    for (const table of [COMMITS, OBJECTS, CONFIGS, SUMMARIES, CONTENTS] as readonly unknown[] as ContentTable<string>[]) {
      const own = units.filter((one) => one.table === table);
      const rows = own.map((one) => ({
        ...one.row,
        artifact_id: known(one) ? null : (artifacts.get(sha256Of(one.bytes)) as string),
      }));
      const ids = await saveContent(this.#services.db, this.#services.domain.id, table, rows as never);
      held.set(table.pulp_type, ids);
      for (const [index, one] of own.entries())
        if (table.pulp_type === 'ostree.commit') commits.set(one.row.checksum, ids[index] as string);
      await this.#comeFrom(
        ids.filter((_id, index) => known(own[index] as Unit)),
        onDemandFrom ?? [],
      );
    }
    const refs = files
      .filter(({ path }) => path.startsWith('refs/heads/'))
      .map(({ path, bytes }) => ({
        name: path.slice('refs/heads/'.length),
        commit_id: commits.get(bytes.toString().trim()),
        artifact_id: null,
      }));
    held.set(REFS.pulp_type, await saveContent(this.#services.db, this.#services.domain.id, REFS, refs));
    return this.#version(repositoryId, held);
  }

  async #store(bodies: readonly Buffer[]): Promise<ReadonlyMap<string, string>> {
    const { storage, db, domain } = this.#services;
    const files = [...new Map(bodies.map((body) => [sha256Of(body), body]))];
    await storage.putSmall(files.map(([sha256, body]) => ({ key: artifactKey(sha256), body })));
    return saveArtifacts(
      db,
      storage,
      domain.id,
      files.map(([sha256, body]) => ({ size: body.length, checksums: { sha256 } })),
    );
  }

  async #comeFrom(ids: readonly string[], remotes: readonly string[]): Promise<void> {
    await this.#services.db.execute(sql`
      insert into remote_content (content_id, remote_id)
      select c.id, r.id from unnest(${ids}::uuid[]) c(id), unnest(${remotes}::uuid[]) r(id) on conflict do nothing`);
  }

  async #version(repositoryId: string, held: ReadonlyMap<string, readonly string[]>): Promise<string> {
    const id = v7();
    const ids = [...held.values()].flat();
    const present = Object.fromEntries(
      [...held].filter(([, some]) => some.length > 0).map(([type, some]) => [type, some.length]),
    );
    await this.#services.db.transaction(async (tx) => {
      const [row] = await tx.query<{ number: number }>(sql`
        update repository set next_version = next_version + 1 where id = ${repositoryId}::uuid returning next_version - 1 as number`);
      const number = row?.number as number;
      await tx.execute(sql`
        update repository_content set version_removed = ${number}
        where repository_id = ${repositoryId}::uuid and version_removed is null and not content_id = any(${ids}::uuid[])`);
      await tx.execute(sql`
        insert into repository_content (repository_id, content_id, version_added)
        select ${repositoryId}::uuid, t.id, ${number}::int from unnest(${ids}::uuid[]) as t(id)
        where not exists (select from repository_content rc
          where rc.repository_id = ${repositoryId}::uuid and rc.content_id = t.id and rc.version_removed is null)`);
      await tx.execute(sql`
        insert into repository_version (id, repository_id, number, present, pulp_last_updated)
        values (${id}::uuid, ${repositoryId}::uuid, ${number}, ${JSON.stringify(present)}::jsonb, now())`);
      await tx.query(sql`select pg_notify('deckle_repository', ${repositoryId})`);
    });
    return id;
  }
}
