import type { StoredFile } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import type { DerivedFields } from '../oci/derived-fields.ts';
import type { Manifest } from '../oci/manifest.ts';

import type { Signature } from '../oci/signature.ts';

/** A blob that a manifest names. */
export interface DeclaredBlob {
  readonly kind: 'blob';
  readonly digest: Digest;
  readonly size: number | undefined;
  /** Its bytes, where this sync has stored them. */
  readonly file: StoredFile | undefined;
  /** The artifact that has its bytes, where they were stored before. */
  readonly artifact_id: string | undefined;
}

/** A manifest; its blobs and children are declared before it. */
export interface DeclaredManifest {
  readonly kind: 'manifest';
  readonly manifest: Manifest;
  readonly derived: DerivedFields;
  /** Children that are neither declared nor known are left out: they are fetched when somebody asks for them. */
  readonly sparse?: true;
}

/** A tag; its manifest is declared before it, or known. */
export interface DeclaredTag {
  readonly kind: 'tag';
  readonly name: string;
  readonly digest: Digest;
}

/** A manifest that is selected by its digest, without a tag. */
export interface DeclaredRoot {
  readonly kind: 'root';
  readonly digest: Digest;
}

/** A signature of a manifest that is declared before it, or known. */
export interface DeclaredSignature {
  readonly kind: 'signature';
  /** Of the signed manifest. */
  readonly digest: Digest;
  readonly signature: Signature;
}

/** What a sync has found, each unit after those that it refers to. */
export type DeclaredContent = DeclaredBlob | DeclaredManifest | DeclaredTag | DeclaredRoot | DeclaredSignature;
