import type { Descriptor, ImageContent } from '../../src/demo/image.ts';
import type { BlobContent } from '../../src/demo/layer.ts';

/** A manifest as it is served: the digest is what the registry claims, which a test may make a lie. */
export interface ServedManifest {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Buffer;
}

/** An entry of the signature API extension. */
export interface ExtensionSignature {
  schemaVersion: number;
  name: string;
  type: string;
  /** base64 of the signature. */
  content: string;
}

interface Repository {
  /** By tag and by digest. */
  readonly manifests: Map<string, ServedManifest>;
  readonly tags: Set<string>;
  readonly blobs: Map<string, BlobContent>;
  readonly extensionSignatures: Map<string, ExtensionSignature[]>;
  /** By the digest that they refer to. */
  readonly referrers: Map<string, Descriptor[]>;
  sortedTags: string[] | null;
}

/** What an upstream holds: repositories with their tags, manifests, blobs and signatures. */
export class UpstreamContent {
  readonly #repositories = new Map<string, Repository>();
  /** Lookaside signatures by `<repository>@sha256=<hex>`, first is `signature-1`. */
  readonly #lookaside = new Map<string, Buffer[]>();

  /** Adds an image with everything below it, under `tag` if one is given; a tag that exists is moved. */
  put(repository: string, image: ImageContent, tag?: string): void {
    const target = this.#of(repository);
    for (const child of image.children) this.put(repository, child);
    for (const blob of image.blobs) target.blobs.set(blob.digest, blob);
    this.putManifest(repository, image, tag);
  }

  /** Adds a manifest alone. `digest` is taken as given, even if the bytes have another one. */
  putManifest(repository: string, manifest: ServedManifest, tag?: string): void {
    const target = this.#of(repository);
    if (!target.manifests.has(manifest.digest)) noteReferrer(target, manifest);
    target.manifests.set(manifest.digest, manifest);
    if (tag === undefined) return;
    target.manifests.set(tag, manifest);
    target.tags.add(tag);
    target.sortedTags = null;
  }

  putBlob(repository: string, blob: BlobContent): void {
    this.#of(repository).blobs.set(blob.digest, blob);
  }

  /** Makes a repository that holds nothing. */
  putRepository(repository: string): void {
    this.#of(repository);
  }

  removeRepository(repository: string): void {
    this.#repositories.delete(repository);
  }

  /** Removes a tag; its manifest stays reachable by digest. */
  removeTag(repository: string, tag: string): void {
    const target = this.#of(repository);
    target.manifests.delete(tag);
    target.tags.delete(tag);
    target.sortedTags = null;
  }

  /** Removes a manifest or blob by its digest, as if the registry had lost it; tags that name it stay and answer 404. */
  lose(repository: string, digest: string): void {
    const target = this.#of(repository);
    target.blobs.delete(digest);
    for (const [reference, manifest] of target.manifests) if (manifest.digest === digest) target.manifests.delete(reference);
  }

  /** Adds an atomic signature where `sigstore` remotes look for it: `<repository>@sha256=<hex>/signature-<n>`. */
  addLookasideSignature(repository: string, digest: string, signature: Buffer): void {
    const key = `${repository}@${digest.replace(':', '=')}`;
    this.#lookaside.set(key, [...(this.#lookaside.get(key) ?? []), signature]);
  }

  /** Adds a signature to the answer of `/extensions/v2/<repository>/signatures/<digest>`. */
  addExtensionSignature(repository: string, digest: string, signature: ExtensionSignature): void {
    const signatures = this.#of(repository).extensionSignatures;
    signatures.set(digest, [...(signatures.get(digest) ?? []), signature]);
  }

  has(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  /** Tags in lexical order, or null when there is no such repository. */
  tags(repository: string): readonly string[] | null {
    const found = this.#repositories.get(repository);
    if (found === undefined) return null;
    found.sortedTags ??= [...found.tags].sort();
    return found.sortedTags;
  }

  manifest(repository: string, reference: string): ServedManifest | undefined {
    return this.#repositories.get(repository)?.manifests.get(reference);
  }

  /** Descriptors of the manifests whose `subject` is the digest. */
  referrers(repository: string, digest: string): readonly Descriptor[] {
    const target = this.#repositories.get(repository);
    return (target?.referrers.get(digest) ?? []).filter((descriptor) => target?.manifests.has(descriptor.digest));
  }

  blob(repository: string, digest: string): BlobContent | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** Signature `number` (from 1) at a lookaside path `<repository>@sha256=<hex>`. */
  lookasideSignature(path: string, number: number): Buffer | undefined {
    return this.#lookaside.get(path)?.[number - 1];
  }

  extensionSignatures(repository: string, digest: string): readonly ExtensionSignature[] {
    return this.#repositories.get(repository)?.extensionSignatures.get(digest) ?? [];
  }

  #of(repository: string): Repository {
    let found = this.#repositories.get(repository);
    if (found === undefined) {
      found = {
        manifests: new Map(),
        tags: new Set(),
        blobs: new Map(),
        extensionSignatures: new Map(),
        referrers: new Map(),
        sortedTags: null,
      };
      this.#repositories.set(repository, found);
    }
    return found;
  }
}

function noteReferrer({ referrers }: Repository, { bytes, mediaType, digest }: ServedManifest): void {
  if (!bytes.includes('"subject"')) return;
  const { subject, artifactType } = JSON.parse(bytes.toString('utf8')) as { subject?: Descriptor; artifactType?: string };
  if (subject === undefined) return;
  const descriptor = { mediaType, digest, size: bytes.length, ...(artifactType === undefined ? {} : { artifactType }) };
  referrers.set(subject.digest, [...(referrers.get(subject.digest) ?? []), descriptor]);
}
