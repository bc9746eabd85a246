import type { Logger } from 'pino';
import type { Digest } from '../../../lib/digest.ts';
import type { Registry } from '../oci/registry-client.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { parseSignature, type Signature } from '../oci/signature.ts';
import type { FetchedSignature } from '../oci/signature-source.ts';

type Fetch = (digest: Digest, signal: AbortSignal) => Promise<readonly FetchedSignature[]>;

/** The signatures that an upstream offers beside its manifests: each manifest's are asked for once. They are not verified. */
export class ManifestSignatures {
  readonly #fetch: Fetch;
  readonly #signal: AbortSignal;
  readonly #log: Logger;
  readonly #found = new Map<Digest, Promise<readonly Signature[]>>();

  private constructor(fetch: Fetch, signal: AbortSignal, log: Logger) {
    this.#fetch = fetch;
    this.#signal = signal;
    this.#log = log;
  }

  /** The lookaside server where the remote names one, else the signature extension where the registry has it, else undefined. */
  static async open(
    registry: Registry,
    sigstore: string | null,
    signal: AbortSignal,
    log: Logger,
  ): Promise<ManifestSignatures | undefined> {
    if (sigstore !== null)
      return new ManifestSignatures((digest, stop) => registry.sigstoreSignatures(digest, stop), signal, log);
    if (!(await registry.supportsSignatures(signal))) return undefined;
    return new ManifestSignatures((digest, stop) => registry.extensionSignatures(digest, stop), signal, log);
  }

  /** The signatures of a manifest; those that cannot be read are logged and left out. */
  of(digest: Digest): Promise<readonly Signature[]> {
    let found = this.#found.get(digest);
    if (!found) {
      found = this.#read(digest);
      this.#found.set(digest, found);
    }
    return found;
  }

  async #read(digest: Digest): Promise<readonly Signature[]> {
    const fetched = await this.#fetch(digest, this.#signal);
    return fetched.flatMap(({ body, url }) => {
      try {
        return [parseSignature(body, digest)];
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        this.#log.warn({ err: error, url, digest }, 'signature skipped: it cannot be read');
        return [];
      }
    });
  }
}
