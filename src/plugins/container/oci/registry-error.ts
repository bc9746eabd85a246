/**
 * - `manifest`: bytes that are no manifest, or break a limit
 * - `media-type`: a manifest of a type that is not known
 * - `digest`: other bytes than were asked for
 * - `list`: a list of tags or referrers that is none, or has no end
 * - `token`: a token server that gives no token
 * - `realm`: a token server that must not be given credentials
 * - `reference`: a name, tag or digest outside the grammar
 * - `signature`: bytes that are no signature
 */
export type RegistryErrorKind = 'manifest' | 'media-type' | 'digest' | 'list' | 'token' | 'realm' | 'reference' | 'signature';

/** A registry gave something that cannot be used. The message names what and why. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly kind: RegistryErrorKind;
  constructor(kind: RegistryErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
