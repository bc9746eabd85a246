import { algorithmOf, type Digest, hexOf, parseDigest } from '../../../lib/digest.ts';

/** OCI distribution-spec, "Pulling manifests": names and tags. */
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const MAX_NAME_LENGTH = 255;

export const isRepositoryName = (text: string): boolean => text.length <= MAX_NAME_LENGTH && NAME.test(text);

export const isTag = (text: string): boolean => TAG.test(text);

/** A reference of a manifest: a tag, or a digest; undefined where the text is neither. */
export function parseReference(text: string): { readonly tag: string } | { readonly digest: Digest } | undefined {
  const digest = parseDigest(text);
  if (digest) return { digest };
  return isTag(text) ? { tag: text } : undefined;
}

const DOCKER_HUB = /^registry[-,\w]*\.docker\.io$/;

/** Docker Hub keeps its official images under `library/`; other registries get the name as it is (spec: sync, URL handling). */
export const upstreamRepositoryName = (name: string, host: string): string =>
  !name.includes('/') && DOCKER_HUB.test(host) ? `library/${name}` : name;

/** The tag under which clients keep a list of referrers where a registry has no API for it (OCI distribution-spec, "Referrers Tag Schema"). */
export const fallbackTag = (digest: Digest): string => `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`;
