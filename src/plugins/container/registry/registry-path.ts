import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { digestInvalid, manifestUnknown, nameInvalid, pathUnknown, tagInvalid, uploadUnknown } from './registry-error.ts';

/** What a path of the Registry API names, every part checked by its grammar (OCI distribution-spec, "Pulling manifests"). */
export type RegistryPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob' | 'referrers'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string };

function checkedName(name: string): string {
  if (!isRepositoryName(name)) throw nameInvalid(name);
  return name;
}

function checkedDigest(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw digestInvalid(text);
  return digest;
}

/** A name that no tag can have is unknown to who asks for it, and wrong to who would give it. */
function checkedReference(text: string, method: string): string {
  if (text.includes(':')) return checkedDigest(text);
  if (!isTag(text)) throw method === 'PUT' ? tagInvalid(text) : manifestUnknown(text);
  return text;
}

/** Some clients write the colon of a digest as `%3A`; no other escape can occur in a valid path. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw pathUnknown();
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function checkedUpload(text: string): string {
  if (!UUID.test(text)) throw uploadUnknown(text);
  return text;
}

/**
 * Parses the path of a request below `/v2`, without its query: `/v2/`, `/v2/_catalog`, `/v2/<name>/tags/list`,
 * `/v2/<name>/{manifests|blobs|referrers}/<reference>` and `/v2/<name>/blobs/uploads/[<id>]`. Throws a RegistryError for anything else.
 */
export function parseRegistryPath(path: string, method: string): RegistryPath {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  const parts = decoded(path).slice('/v2/'.length).split('/');
  const last = parts.pop();
  const noun = parts.pop();
  if (last === undefined || noun === undefined) throw pathUnknown();
  if (noun === 'uploads' && parts.at(-1) === 'blobs') {
    const repository = checkedName(parts.slice(0, -1).join('/'));
    return last === '' ? { kind: 'uploads', name: repository } : { kind: 'upload', name: repository, id: checkedUpload(last) };
  }
  const name = parts.join('/');
  if (noun === 'tags' && last === 'list') return { kind: 'tags', name: checkedName(name) };
  if (noun === 'manifests') return { kind: 'manifest', name: checkedName(name), reference: checkedReference(last, method) };
  if (noun === 'blobs') return { kind: 'blob', name: checkedName(name), digest: checkedDigest(last) };
  if (noun === 'referrers') return { kind: 'referrers', name: checkedName(name), digest: checkedDigest(last) };
  throw pathUnknown();
}

/** `/extensions/v2/<name>/signatures/<digest>`. Throws a RegistryError for anything else. */
export function parseSignaturesPath(path: string): { readonly name: string; readonly digest: Digest } {
  const [, name, digest] = /^\/extensions\/v2\/(.+)\/signatures\/([^/]+)$/.exec(decoded(path)) ?? [];
  if (name === undefined || digest === undefined) throw pathUnknown();
  return { name: checkedName(name), digest: checkedDigest(digest) };
}

/** `/pulp/container/<base_path>/blobs/<digest>`, with the path that its signature is of. Throws a RegistryError for anything else. */
export function parseContentPath(path: string): { readonly signed: string; readonly name: string; readonly digest: Digest } {
  const signed = decoded(path);
  const [, name, digest] = /^\/pulp\/container\/(.+)\/blobs\/([^/]+)$/.exec(signed) ?? [];
  if (name === undefined || digest === undefined) throw pathUnknown();
  return { signed, name: checkedName(name), digest: checkedDigest(digest) };
}

/** One signature of a manifest. */
export interface LookasidePath {
  readonly name: string;
  readonly digest: Digest;
  /** From 1 on. */
  readonly number: number;
}

/**
 * `/pulp/container/sigstore/<base_path>@<algorithm>=<hex>/signature-<number>` (containers/image docs/signature-protocols.md); undefined for
 * a path of another form. Throws a RegistryError for one that names nothing.
 */
export function parseLookasidePath(path: string): LookasidePath | undefined {
  const [, name, algorithm, hex, number] =
    /^\/pulp\/container\/sigstore\/([^@]+)@([a-z0-9]+)=([0-9a-f]+)\/signature-([1-9]\d{0,5})$/.exec(decoded(path)) ?? [];
  if (name === undefined || number === undefined) return undefined;
  return { name: checkedName(name), digest: checkedDigest(`${algorithm}:${hex}`), number: Number(number) };
}
