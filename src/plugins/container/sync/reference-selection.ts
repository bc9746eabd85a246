import { type Digest, parseDigest } from '../../../lib/digest.ts';
import { glob } from '../../../lib/glob.ts';
import { fallbackTag } from '../oci/reference.ts';

/** What a remote's `includes` and `excludes` let through (spec: sync, Selection). */
export interface ReferenceSelection {
  /** Whether there is any filter: then companions are selected by their subjects only. */
  readonly filtered: boolean;
  /** Manifests to be synced without a tag. */
  readonly digests: readonly Digest[];
  /** The tags, where all includes are exact: no tag list is needed. Undefined: the list decides. */
  readonly exactTags: readonly string[] | undefined;
  /** Whether the filter takes a tag. */
  takes(tag: string): boolean;
  /** Whether a companion is left out though its subject is synced. */
  excludes(tag: string): boolean;
}

/** An empty list counts as none. */
export function selectReferences(includes: readonly string[] | null, excludes: readonly string[] | null): ReferenceSelection {
  const included = includes ?? [];
  const digests = included.map(parseDigest).filter((digest) => digest !== undefined);
  const patterns = included.filter((pattern) => parseDigest(pattern) === undefined);
  const inclusions = patterns.map(glob);
  const exclusions = (excludes ?? []).map(glob);
  const excluded = (tag: string): boolean => exclusions.some((matches) => matches(tag));
  const exact = included.length > 0 && patterns.every((pattern) => !/[*?[]/.test(pattern));
  return {
    filtered: included.length > 0 || exclusions.length > 0,
    digests: [...new Set(digests)],
    exactTags: exact ? [...new Set(patterns)].filter((tag) => !excluded(tag)) : undefined,
    takes: (tag) => (included.length === 0 || inclusions.some((matches) => matches(tag))) && !excluded(tag),
    excludes: excluded,
  };
}

const COMPANION = /^(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{64})(?:\..*)?$/;

/**
 * The fallback tag of the digest that a tag is a companion of: of `sha256-<hex>`, `sha256-<hex>.sig`, `.att`, `.sbom`, … it is what comes
 * before the dot; undefined for any other tag. Not every digest can be told from it (`fallbackTag`).
 */
export const companionStem = (tag: string): string | undefined => COMPANION.exec(tag)?.[1];

/** Any filter takes these out of the tag list, companions or not. */
export const looksLikeCompanion = (tag: string): boolean => tag.startsWith('sha256-') || companionStem(tag) !== undefined;

/** The companions that cosign and the referrers fallback know: what to ask for where there is no tag list. */
export const companionTagsOf = (digest: Digest): string[] =>
  ['', '.sig', '.att', '.sbom'].map((suffix) => `${fallbackTag(digest)}${suffix}`);
