import { linkArtifacts, type StoredFile, saveArtifacts, saveContent } from '../../../core/plugin-api.ts';
import type { Database, Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
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

/** Writes units in batches, each one transaction with one statement a table. */
export class ContentSaver {
  readonly #db: Database;
  readonly #domainId: string;
  readonly #remoteId: string | undefined;

  /** `remoteId`: the remote that has them, if they come from one. */
  constructor(db: Database, domainId: string, remoteId?: string) {
    this.#db = db;
    this.#domainId = domainId;
    this.#remoteId = remoteId;
  }

  /** Saves objects, all or none, and gives those that are there without their bytes the file that they have now. Answers their ids in this order; they must differ. */
  objects(declared: readonly DeclaredObject[]): Promise<string[]> {
    return this.#db.transaction(async (tx) => {
      const files = declared.flatMap(({ file }) => file ?? []);
      const artifacts = await saveArtifacts(tx, this.#domainId, files);
      const artifactOf = (file: StoredFile | undefined) => (file && artifacts.get(file.checksums.sha256)) ?? null;
      const rows = declared.map(({ checksum, typ, file }) => ({ checksum, typ, artifact_id: artifactOf(file) }));
      const ids = await saveContent(tx, this.#domainId, OBJECTS, rows);
      const links = rows.flatMap(({ artifact_id }, index) =>
        artifact_id === null ? [] : [{ content_id: ids[index] as string, artifact_id }],
      );
      await linkArtifacts(tx, links);
      await this.#rememberSource(tx, ids);
      return ids;
    });
  }

  /** Saves a commit and what it consists of. Whoever finds its row finds all of it. */
  commit({ checksum, timestamp, version, file, objects }: DeclaredCommit): Promise<string> {
    return this.#db.transaction(async (tx) => {
      const artifacts = await saveArtifacts(tx, this.#domainId, [file]);
      const artifact_id = artifacts.get(file.checksums.sha256) ?? null;
      const row = { checksum, parent_commit_id: null, timestamp, version: version ?? null, artifact_id };
      const [id] = await saveContent(tx, this.#domainId, COMMITS, [row]);
      if (id === undefined) throw new Error(`commit ${checksum} went while it was saved`);
      if (artifact_id !== null) await linkArtifacts(tx, [{ content_id: id, artifact_id }]);
      await tx.execute(sql`
        insert into ostree_commit_object (commit_id, object_id)
        select ${id}::uuid, o.id from unnest(${objects}::uuid[]) as o(id) order by o.id on conflict do nothing`);
      await this.#rememberSource(tx, [id]);
      return id;
    });
  }

  /** Notes that the remote has these commits, which are saved, and what they consist of. */
  async remember(commits: readonly string[]): Promise<void> {
    await this.#db.execute(sql`
      insert into remote_content (content_id, remote_id)
      select u.id, ${this.#remoteId ?? null}::uuid from (
        select id from unnest(${commits}::uuid[]) as k(id) union
        select co.object_id from ostree_commit_object co where co.commit_id = any(${commits}::uuid[])) u
      where ${this.#remoteId !== undefined} and not exists (
        select from remote_content rc where rc.content_id = u.id and rc.remote_id = ${this.#remoteId ?? null}::uuid)
      order by u.id on conflict do nothing`);
  }

  /** Notes the parents of commits that are saved. */
  async parents(links: readonly { readonly commit: string; readonly parent: string }[]): Promise<void> {
    if (links.length === 0) return;
    await this.#db.execute(sql`
      update ostree_commit k set parent_commit_id = t.parent
      from unnest(${links.map(({ commit }) => commit)}::uuid[], ${links.map(({ parent }) => parent)}::uuid[]) as t(id, parent)
      where k.id = t.id and k.parent_commit_id is null`);
  }

  /** Saves refs; `file` holds the checksum of the commit, as `refs/heads/<name>` does. */
  refs(refs: readonly { readonly name: string; readonly commit: string; readonly file: StoredFile }[]): Promise<string[]> {
    return this.#db.transaction(async (tx) => {
      const artifacts = await saveArtifacts(
        tx,
        this.#domainId,
        refs.map(({ file }) => file),
      );
      const rows = refs.map(({ name, commit, file }) => ({
        name,
        commit_id: commit,
        artifact_id: artifacts.get(file.checksums.sha256) ?? null,
      }));
      return saveContent(tx, this.#domainId, REFS, rows);
    });
  }

  async #rememberSource(tx: Queryable, ids: readonly string[]): Promise<void> {
    if (this.#remoteId === undefined) return;
    await tx.execute(sql`
      insert into remote_content (content_id, remote_id)
      select t.id, ${this.#remoteId}::uuid from unnest(${ids}::uuid[]) as t(id) order by t.id on conflict do nothing`);
  }
}
