import { type StoredFile, saveArtifacts, saveContent } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Checksum } from '../format/checksum.ts';
import { COMMITS, OBJECTS, REFS } from './content-tables.ts';
import type { UnitType } from './known-objects.ts';

/** An object to save. */
export interface DeclaredObject {
  readonly checksum: Checksum;
  readonly typ: UnitType;
  /** Its bytes, stored; undefined while they are on demand. */
  readonly file: StoredFile | undefined;
}

/** A commit to save, whose objects are saved. */
export interface DeclaredCommit {
  readonly checksum: Checksum;
  readonly timestamp: number;
  readonly version: string | undefined;
  readonly file: StoredFile;
  /** Ids of all objects that it consists of, at whatever depth; each once. */
  readonly objects: readonly string[];
}

/** Commits of a batch, and objects that they consist of together: so many that statements do not count, so few that memory does not. */
const BATCH_COMMITS = 500;
const BATCH_LINKS = 50_000;

/** Writes units in batches, each one transaction with one statement a table. */
export class ContentSaver {
  readonly #services: Pick<Services, 'db' | 'storage'>;
  readonly #domainId: string;
  readonly #remoteId: string | undefined;

  /** `remoteId`: the remote that has them, if they come from one. */
  constructor(services: Pick<Services, 'db' | 'storage'>, domainId: string, remoteId?: string) {
    this.#services = services;
    this.#domainId = domainId;
    this.#remoteId = remoteId;
  }

  /** Saves objects, all or none, and gives those that are there without their bytes the file that they have now. Answers their ids in this order; they must differ. */
  objects(declared: readonly DeclaredObject[]): Promise<string[]> {
    return this.#services.db.transaction(async (tx) => {
      const files = declared.flatMap(({ file }) => file ?? []);
      const artifacts = await saveArtifacts(tx, this.#services.storage, this.#domainId, files);
      const rows = declared.map(({ checksum, typ, file }) => ({
        checksum,
        typ,
        artifact_id: file ? artifactOf(artifacts, file) : null,
      }));
      const ids = await saveContent(tx, this.#domainId, OBJECTS, rows);
      await this.#rememberSource(tx, ids);
      return ids;
    });
  }

  /**
   * Saves commits and what they consist of, several by one transaction. Whoever finds the row of one finds all of it. Answers ids by
   * checksum.
   */
  async commits(declared: Iterable<DeclaredCommit> | AsyncIterable<DeclaredCommit>): Promise<Map<Checksum, string>> {
    const ids = new Map<Checksum, string>();
    let batch: DeclaredCommit[] = [];
    let links = 0;
    const save = async (): Promise<void> => {
      const saved = await this.#commitBatch(batch);
      for (const [index, { checksum }] of batch.entries()) ids.set(checksum, saved[index] as string);
      batch = [];
      links = 0;
    };
    for await (const commit of declared) {
      batch.push(commit);
      links += commit.objects.length;
      if (links >= BATCH_LINKS || batch.length >= BATCH_COMMITS) await save();
    }
    if (batch.length > 0) await save();
    return ids;
  }

  #commitBatch(batch: readonly DeclaredCommit[]): Promise<string[]> {
    return this.#services.db.transaction(async (tx) => {
      const files = batch.map(({ file }) => file);
      const artifacts = await saveArtifacts(tx, this.#services.storage, this.#domainId, files);
      const rows = batch.map(({ checksum, timestamp, version, file }) => {
        const artifact_id = artifactOf(artifacts, file);
        return { checksum, parent_commit_id: null, timestamp, version: version ?? null, artifact_id };
      });
      const ids = await saveContent(tx, this.#domainId, COMMITS, rows);
      const commitOfEach = batch.flatMap(({ objects }, index) => objects.map(() => ids[index] as string));
      await tx.execute(sql`
        insert into ostree_commit_object (commit_id, object_id)
        select t.commit_id, t.object_id
        from unnest(${commitOfEach}::uuid[], ${batch.flatMap(({ objects }) => objects)}::uuid[]) as t(commit_id, object_id)
        order by t.commit_id, t.object_id on conflict do nothing`);
      await this.#rememberSource(tx, ids);
      return ids;
    });
  }

  /** Notes that the remote has these objects, which are saved. */
  rememberObjects(ids: readonly string[]): Promise<void> {
    return this.#rememberSource(this.#services.db, ids);
  }

  /**
   * Notes that the remote has these commits, which are saved, and what they consist of. Where that was noted of a commit, it was of its
   * objects too.
   */
  async remember(commits: readonly string[]): Promise<void> {
    if (this.#remoteId === undefined || commits.length === 0) return;
    const fresh = await this.#services.db.query<{ id: string }>(sql`
      select k.id from unnest(${commits}::uuid[]) as k(id)
      where not exists (select from remote_content rc where rc.content_id = k.id and rc.remote_id = ${this.#remoteId}::uuid)`);
    if (fresh.length === 0) return;
    const ids = fresh.map(({ id }) => id);
    await this.#services.db.execute(sql`
      insert into remote_content (content_id, remote_id)
      select u.id, ${this.#remoteId}::uuid from (
        select id from unnest(${ids}::uuid[]) as k(id) union
        select co.object_id from ostree_commit_object co where co.commit_id = any(${ids}::uuid[])) u
      order by u.id on conflict do nothing`);
  }

  /** Notes the parents of commits that are saved. */
  async parents(links: readonly { readonly commit: string; readonly parent: string }[]): Promise<void> {
    if (links.length === 0) return;
    await this.#services.db.execute(sql`
      update ostree_commit k set parent_commit_id = t.parent
      from unnest(${links.map(({ commit }) => commit)}::uuid[], ${links.map(({ parent }) => parent)}::uuid[]) as t(id, parent)
      where k.id = t.id and k.parent_commit_id is null`);
  }

  /** Saves refs; `file` holds the checksum of the commit, as `refs/heads/<name>` does. */
  refs(refs: readonly { readonly name: string; readonly commit: string; readonly file: StoredFile }[]): Promise<string[]> {
    return this.#services.db.transaction(async (tx) => {
      const artifacts = await saveArtifacts(
        tx,
        this.#services.storage,
        this.#domainId,
        refs.map(({ file }) => file),
      );
      const rows = refs.map(({ name, commit, file }) => ({
        name,
        commit_id: commit,
        artifact_id: artifactOf(artifacts, file),
      }));
      return saveContent(tx, this.#domainId, REFS, rows);
    });
  }

  async #rememberSource(tx: Queryable, ids: readonly string[]): Promise<void> {
    if (this.#remoteId === undefined || ids.length === 0) return;
    await tx.execute(sql`
      insert into remote_content (content_id, remote_id)
      select t.id, ${this.#remoteId}::uuid from unnest(${ids}::uuid[]) as t(id) order by t.id on conflict do nothing`);
  }
}

function artifactOf(artifacts: ReadonlyMap<string, string>, { checksums: { sha256 } }: StoredFile): string {
  const id = artifacts.get(sha256);
  if (id === undefined) throw new Error(`the artifact ${sha256} went while it was saved`);
  return id;
}
