import { type BatchedLookup, batchedLookup } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { mapConcurrent } from '../../../lib/concurrent-map.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { HeldBytes } from '../../../lib/held-bytes.ts';
import { derivedFields, inheritedFields, readsConfig } from '../oci/derived-fields.ts';
import { type ChildDescriptor, MAX_INDEX_DEPTH, type Manifest, type Platform, parseManifest } from '../oci/manifest.ts';
import { DOCKER_MANIFEST_LIST, OCI_INDEX } from '../oci/media-types.ts';
import type { Registry } from '../oci/registry-client.ts';
import { type BlobFetcher, CONFIG_BYTES } from './blob-fetcher.ts';
import type { DeclaredQueue } from './declared-queue.ts';
import { findManifests, type KnownManifest } from './known-content.ts';
import type { ManifestProgress } from './manifest-progress.ts';
import type { ManifestSignatures } from './manifest-signatures.ts';
import type { ContentSaver } from './save-declared.ts';
import { syncing } from './sync-error.ts';

/** Children of one index that are worked on at once. */
const CHILDREN_AT_ONCE = 32;

/** A manifest with all below it declared. */
export interface WalkedManifest {
  readonly digest: Digest;
  readonly is_bootable: boolean;
  readonly is_flatpak: boolean;
  /** What it refers to. */
  readonly subject: Digest | undefined;
  /** Whether this walk had to fetch it. */
  readonly fresh: boolean;
  /** False where only signed images are wanted and this, or an image in it, has no signature: then nothing of it is declared. */
  readonly accepted: boolean;
}

export interface ManifestWalkOptions {
  readonly db: Database;
  readonly registry: Registry;
  readonly domainId: string;
  readonly declared: DeclaredQueue;
  readonly held: HeldBytes;
  readonly saver: ContentSaver;
  readonly blobs: BlobFetcher;
  /** Whether layers are stored, too. */
  readonly immediate: boolean;
  /** Undefined where the upstream offers none. */
  readonly signatures: ManifestSignatures | undefined;
  /** Leave out what has no signature in `signatures`. */
  readonly signedOnly: boolean;
  readonly signal: AbortSignal;
}

/** How a walk got to a manifest. */
interface Way {
  readonly progress: ManifestProgress;
  /** What the walk began with gets counted. */
  readonly reference: boolean;
  /** It belongs to a manifest that was accepted: then it needs no signature of its own. */
  readonly belongs: boolean;
  readonly platform: Platform | undefined;
  readonly ancestors: readonly Digest[];
}

/** Finds all that is below a manifest. What the server has by digest is not asked for again; each digest is walked once a sync. */
export class ManifestWalk {
  readonly #options: ManifestWalkOptions;
  readonly #lookup: BatchedLookup<Digest, KnownManifest>;
  readonly #walks = new Map<Digest, Promise<WalkedManifest>>();
  readonly #accepted = new Set<Digest>();
  readonly #knownIds: string[] = [];

  constructor(options: ManifestWalkOptions) {
    this.#options = options;
    this.#lookup = batchedLookup((digests) => findManifests(options.db, options.domainId, digests));
  }

  /** The digests of all accepted manifests: indexes and their children, too. */
  get digests(): Iterable<Digest> {
    return this.#accepted;
  }

  /** Content ids of the walked manifests that the server had. */
  get knownIds(): readonly string[] {
    return this.#knownIds;
  }

  /**
   * Walks what a reference of the selection stands for: its digest, and it itself where it had to be fetched to learn that. `belongs`: to
   * a manifest that was accepted.
   */
  reference(digest: Digest, fetched: Manifest | undefined, progress: ManifestProgress, belongs = false): Promise<WalkedManifest> {
    progress.begin();
    return this.#walk(digest, fetched, { progress, reference: true, belongs, platform: undefined, ancestors: [] });
  }

  /** Whether the server has the manifest, or this sync has fetched it. */
  async knows(digest: Digest): Promise<boolean> {
    return this.#walks.has(digest) || (await this.#lookup(digest)) !== undefined;
  }

  /** The caller has announced the manifest to `progress`; here it is taken off again once it is at hand. */
  async #walk(digest: Digest, fetched: Manifest | undefined, way: Way): Promise<WalkedManifest> {
    const running = this.#walks.get(digest);
    if (running) {
      const walked = await running;
      // Counted before it is taken off: a report that is complete counts no more.
      if (way.reference && walked.accepted) way.progress.countReference();
      way.progress.end();
      return walked;
    }
    const walk = this.#walkOnce(digest, fetched, way);
    this.#walks.set(digest, walk);
    return walk;
  }

  async #walkOnce(digest: Digest, fetched: Manifest | undefined, way: Way): Promise<WalkedManifest> {
    const { progress, reference } = way;
    const { stored, manifest, accepted } = await progress.reporting(this.#options.signal, async () => {
      const found = await this.#lookup(digest);
      const parsed = await this.#obtain(digest, found, fetched);
      return { stored: found, manifest: parsed, accepted: way.belongs || (await this.#isSigned(digest, parsed)) };
    });
    if (accepted) this.#accepted.add(digest);
    if (accepted && reference) progress.countReference();
    if (accepted && manifest) progress.begin(manifest.children.length);
    progress.end();
    if (!accepted) return notAccepted(digest);
    if (!manifest) return this.#declareKnown(digest, stored);
    const { held } = this.#options;
    held.add(manifest.body.length);
    try {
      return manifest.kind === 'index' ? await this.#index(manifest, stored, way) : await this.#image(manifest, way);
    } finally {
      held.release(manifest.body.length);
    }
  }

  /** The manifest, fetched unless it is known; undefined for a known image, of which all is known. */
  async #obtain(digest: Digest, stored: KnownManifest | undefined, fetched: Manifest | undefined): Promise<Manifest | undefined> {
    if (stored) {
      this.#options.saver.know(digest, stored.id);
      this.#knownIds.push(stored.id);
      return stored.index ? parseManifest(stored.index.body, { contentType: stored.index.mediaType, proven: digest }) : undefined;
    }
    const { registry, signal } = this.#options;
    return fetched ?? registry.manifest(digest, digest, signal);
  }

  /** Whether a manifest is signed as `signed_only` wants it: an image itself, of an index each image that it lists. */
  async #isSigned(digest: Digest, manifest: Manifest | undefined): Promise<boolean> {
    const { signatures, signedOnly } = this.#options;
    if (!signatures || !signedOnly) return true;
    const images = manifest?.kind === 'index' ? manifest.children.filter((child) => !isIndex(child)) : [{ digest }];
    const signed = await Promise.all(images.map((image) => signatures.of(image.digest)));
    return signed.every((found) => found.length > 0);
  }

  async #declareKnown(digest: Digest, stored: KnownManifest | undefined): Promise<WalkedManifest> {
    await this.#declareSignatures(digest);
    return {
      digest,
      is_bootable: stored?.is_bootable === true,
      is_flatpak: stored?.is_flatpak === true,
      subject: stored?.subject ?? undefined,
      fresh: false,
      accepted: true,
    };
  }

  async #image(manifest: Manifest, way: Way): Promise<WalkedManifest> {
    const { blobs, immediate, declared } = this.#options;
    const [config] = await Promise.all([
      this.#config(manifest),
      ...manifest.layers.map((layer) => (immediate ? blobs.store(layer) : blobs.declare(layer))),
    ]);
    const derived = derivedFields(manifest, { config, platform: way.platform });
    declared.push({ kind: 'manifest', manifest, derived });
    await this.#declareSignatures(manifest.digest);
    return {
      digest: manifest.digest,
      is_bootable: derived.is_bootable,
      is_flatpak: derived.is_flatpak,
      subject: manifest.subject,
      fresh: true,
      accepted: true,
    };
  }

  /** Stores the config blob, whatever the policy; answers its bytes where fields are derived from them. */
  async #config(manifest: Manifest): Promise<Buffer | undefined> {
    const { blobs } = this.#options;
    const { config } = manifest;
    if (!config) return undefined;
    if (readsConfig(manifest) && config.size !== undefined && config.size <= CONFIG_BYTES) return blobs.config(config);
    await blobs.store(config);
    return undefined;
  }

  async #index(manifest: Manifest, stored: KnownManifest | undefined, way: Way): Promise<WalkedManifest> {
    const { declared, signal } = this.#options;
    const ancestors = [...way.ancestors, manifest.digest];
    const walkChild = (child: ChildDescriptor) => this.#child(child, { ...way, ancestors });
    const children: WalkedManifest[] = [];
    for await (const child of mapConcurrent(manifest.children, walkChild, { limit: CHILDREN_AT_ONCE, signal }))
      children.push(child);
    if (children.some((child) => !child.accepted)) {
      return notAccepted(manifest.digest);
    }
    const derived = { ...derivedFields(manifest), ...inheritedFields(children) };
    // A pushed index may have come without its children: then its list is completed.
    if (!stored || children.some((child) => child.fresh)) declared.push({ kind: 'manifest', manifest, derived });
    await this.#declareSignatures(manifest.digest);
    return {
      digest: manifest.digest,
      is_bootable: derived.is_bootable,
      is_flatpak: derived.is_flatpak,
      subject: manifest.subject,
      fresh: !stored,
      accepted: true,
    };
  }

  #child(child: ChildDescriptor, way: Way): Promise<WalkedManifest> {
    return syncing(`manifest ${child.digest} of index ${way.ancestors.at(-1)}`, this.#options.signal, async () => {
      await way.progress.reporting(this.#options.signal, async () => {
        if (way.ancestors.includes(child.digest)) throw new NestedIndexError(`index ${child.digest} contains itself`);
        if (isIndex(child) && way.ancestors.length >= MAX_INDEX_DEPTH) {
          throw new NestedIndexError(`indexes are nested more than ${MAX_INDEX_DEPTH} deep`);
        }
      });
      return this.#walk(child.digest, undefined, { ...way, reference: false, platform: child.platform });
    });
  }

  async #declareSignatures(digest: Digest): Promise<void> {
    const { signatures, declared } = this.#options;
    if (!signatures) return;
    for (const signature of await signatures.of(digest)) declared.push({ kind: 'signature', digest, signature });
  }
}

const notAccepted = (digest: Digest): WalkedManifest => ({
  digest,
  is_bootable: false,
  is_flatpak: false,
  subject: undefined,
  fresh: false,
  accepted: false,
});

/** An index that contains itself, or too many levels of others. */
class NestedIndexError extends Error {
  override readonly name = 'NestedIndexError';
}

const isIndex = (descriptor: { readonly mediaType: string }): boolean =>
  descriptor.mediaType === OCI_INDEX || descriptor.mediaType === DOCKER_MANIFEST_LIST;
