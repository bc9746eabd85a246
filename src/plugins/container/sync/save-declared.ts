import { saveArtifacts, saveContent } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Services } from '../../../kit/services.ts';
import type { Digest } from '../../../lib/digest.ts';
import { storableText } from '../../../lib/storable-text.ts';
import type { Platform } from '../oci/manifest.ts';
import { BLOBS, MANIFESTS, SIGNATURES, TAGS } from './content-tables.ts';
import type { DeclaredBlob, DeclaredContent, DeclaredManifest, DeclaredSignature, DeclaredTag } from './declared-content.ts';
import { manifestRow } from './manifest-row.ts';

/** The columns of an entry's platform. */
const platformColumns = ({ os_features, features, ...texts }: Platform): object => ({
  ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, text && storableText(text)])),
  os_features: os_features?.map(storableText) ?? null,
  features: features?.map(storableText) ?? null,
});

const isStored = (blob: DeclaredBlob): boolean => blob.file !== undefined || blob.artifact_id !== undefined;

/** Writes declared content in batches, each with one statement a table, and keeps the ids that later batches refer to. */
export class ContentSaver {
  readonly #services: Pick<Services, 'db' | 'storage'>;
  readonly #domainId: string;
  readonly #remoteId: string | undefined;
  readonly #blobs = new Map<Digest, string>();
  readonly #manifests = new Map<Digest, string>();
  readonly #roots = new Set<string>();

  /** Of a remote that blobs can be fetched from again, `remoteId`. */
  constructor(services: Pick<Services, 'db' | 'storage'>, domainId: string, remoteId?: string) {
    this.#services = services;
    this.#domainId = domainId;
    this.#remoteId = remoteId;
  }

  /** Ids of the saved tags and signatures, and of the manifests selected by digest: what the version is made of, with all below. */
  get roots(): readonly string[] {
    return [...this.#roots];
  }

  /** The content id of a blob that was saved or is known. */
  blobId(digest: Digest): string {
    const id = this.#blobs.get(digest);
    if (id === undefined) throw new Error(`blob ${digest} is referred to before it is declared`);
    return id;
  }

  /** The content id of a manifest that was saved or is known. */
  manifestId(digest: Digest): string {
    const id = this.#manifests.get(digest);
    if (id === undefined) throw new Error(`manifest ${digest} is referred to before it is declared`);
    return id;
  }

  /** A manifest that was there before: declared content may refer to it. */
  know(digest: Digest, id: string): void {
    this.#manifests.set(digest, id);
  }

  /** As `know`, of a blob. */
  knowBlob(digest: Digest, id: string): void {
    this.#blobs.set(digest, id);
  }

  /** Saves a batch, all or nothing. */
  save(batch: readonly DeclaredContent[]): Promise<void> {
    return this.#services.db.transaction((tx) => this.saveIn(tx, batch));
  }

  /** Saves a batch in a transaction of the caller's. */
  async saveIn(tx: Queryable, batch: readonly DeclaredContent[]): Promise<void> {
    const of = <Kind extends DeclaredContent['kind']>(kind: Kind) =>
      batch.filter((item): item is Extract<DeclaredContent, { kind: Kind }> => item.kind === kind);
    await this.#saveBlobs(tx, of('blob'));
    await this.#saveManifests(tx, of('manifest'));
    await this.#saveTags(tx, of('tag'));
    await this.#saveSignatures(tx, of('signature'));
    for (const root of of('root')) this.#roots.add(this.manifestId(root.digest));
  }

  async #saveBlobs(tx: Queryable, declared: readonly DeclaredBlob[]): Promise<void> {
    if (declared.length === 0) return;
    // A blob is declared twice where it is a layer on demand and, of another image, a config that is stored.
    const blobs = new Map<Digest, DeclaredBlob>();
    for (const blob of declared) if (isStored(blob) || !blobs.has(blob.digest)) blobs.set(blob.digest, blob);
    const unique = [...blobs.values()];
    const artifacts = await saveArtifacts(
      tx,
      this.#services.storage,
      this.#domainId,
      unique.flatMap((blob) => blob.file ?? []),
    );
    const rows = unique.map((blob) => {
      const saved = blob.file ? artifacts.get(blob.file.checksums.sha256) : blob.artifact_id;
      return { digest: blob.digest, size: blob.size ?? blob.file?.size ?? null, artifact_id: saved ?? null };
    });
    const ids = await saveContent(tx, this.#domainId, BLOBS, rows);
    ids.forEach((id, index) => {
      const row = rows[index];
      if (row) this.#blobs.set(row.digest, id);
    });
    if (this.#remoteId === undefined) return;
    await tx.execute(sql`
      insert into remote_content (content_id, remote_id)
      select id, ${this.#remoteId}::uuid from unnest(${ids.toSorted()}::uuid[]) as t(id) order by id on conflict do nothing`);
  }

  async #saveManifests(tx: Queryable, declared: readonly DeclaredManifest[]): Promise<void> {
    const unique = [...new Map(declared.map((each) => [each.manifest.digest, each])).values()];
    if (unique.length === 0) return;
    const ids = await saveContent(
      tx,
      this.#domainId,
      MANIFESTS,
      unique.map((each) => manifestRow(each, (digest) => this.blobId(digest))),
    );
    unique.forEach(({ manifest }, index) => {
      const id = ids[index];
      if (id !== undefined) this.#manifests.set(manifest.digest, id);
    });
    await this.#linkBlobs(tx, unique);
    await this.#linkChildren(tx, unique);
  }

  async #linkBlobs(tx: Queryable, declared: readonly DeclaredManifest[]): Promise<void> {
    const links = declared.flatMap(({ manifest }) =>
      manifest.layers.map((layer) => [this.manifestId(manifest.digest), this.blobId(layer.digest)] as const),
    );
    if (links.length === 0) return;
    await tx.execute(sql`
      insert into container_manifest_blob (manifest_id, blob_id)
      select * from unnest(${links.map(([manifest]) => manifest)}::uuid[], ${links.map(([, blob]) => blob)}::uuid[]) as t(manifest_id, blob_id)
      order by 1, 2 on conflict do nothing`);
  }

  async #linkChildren(tx: Queryable, declared: readonly DeclaredManifest[]): Promise<void> {
    const items = declared.flatMap(({ manifest, sparse }) =>
      manifest.children
        .filter((child) => !sparse || this.#manifests.has(child.digest))
        .map((child) => ({
          list_id: this.manifestId(manifest.digest),
          manifest_id: this.manifestId(child.digest),
          ...platformColumns(child.platform),
        })),
    );
    if (items.length === 0) return;
    await tx.execute(sql`
      insert into container_manifest_list_item (list_id, manifest_id, architecture, os, os_version, os_features, features, variant)
      select * from json_to_recordset(${JSON.stringify(items)}::json) as t(list_id uuid, manifest_id uuid, architecture text, os text,
        os_version text, os_features jsonb, features jsonb, variant text)
      order by 1, 2 on conflict do nothing`);
  }

  async #saveTags(tx: Queryable, tags: readonly DeclaredTag[]): Promise<void> {
    const rows = tags.map((tag) => ({ name: tag.name, tagged_manifest_id: this.manifestId(tag.digest), artifact_id: null }));
    for (const id of await saveContent(tx, this.#domainId, TAGS, rows)) this.#roots.add(id);
  }

  async #saveSignatures(tx: Queryable, declared: readonly DeclaredSignature[]): Promise<void> {
    const unique = new Map(declared.map((each) => [each.signature.name, each]));
    const rows = [...unique.values()].map((each) => {
      const { name, digest, type, key_id, fingerprint, timestamp, creator, data } = each.signature;
      const signed_manifest_id = this.manifestId(each.digest);
      return { name, digest, type, key_id, fingerprint, timestamp, creator, data, signed_manifest_id, artifact_id: null };
    });
    for (const id of await saveContent(tx, this.#domainId, SIGNATURES, rows)) this.#roots.add(id);
  }
}
