import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { v4 } from 'uuid';
import { runSigningScript, SigningError } from '../../../core/plugin-api.ts';
import type { Digest } from '../../../lib/digest.ts';
import { codeOf } from '../../../storage/full-disk.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { parseSignature, type Signature } from '../oci/signature.ts';
import { MAX_SIGNATURE_BYTES } from '../oci/signature-source.ts';
import { manifestSigning } from '../resources/manifest-signing.ts';

/** A signing service, as far as signing needs it. */
export interface Signer {
  readonly name: string;
  /** Path of the script. */
  readonly script: string;
  /** Of the key. */
  readonly pubkey_fingerprint: string;
}

/** A manifest, under a name that clients pull it by. */
export interface SignedName {
  readonly digest: Digest;
  readonly data: Buffer;
  /** `registry.example.org/app:latest` */
  readonly reference: string;
}

/**
 * Has the service's script sign a manifest; `folder` is for its files, of which none stays. Throws SigningError where the script fails, does
 * not end, or leaves anything but a signature of this manifest.
 */
export async function signManifest(
  signer: Signer,
  { digest, data, reference }: SignedName,
  folder: string,
  signal: AbortSignal,
): Promise<Signature> {
  const own = join(folder, v4());
  await mkdir(own);
  try {
    const file = join(own, 'manifest.json');
    await writeFile(file, data);
    const run = { signingClass: manifestSigning, fingerprint: signer.pubkey_fingerprint, signal };
    const path = await runSigningScript(signer.script, file, { ...run, subject: { folder: own, name: reference } });
    return parseSignature(await signatureAt(path), digest);
  } catch (error) {
    if (!(error instanceof SigningError || error instanceof RegistryError)) throw error;
    throw new SigningError(`The signing service "${signer.name}" could not sign ${reference} (${digest}): ${error.message}`, {
      cause: error,
    });
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

async function signatureAt(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > MAX_SIGNATURE_BYTES) throw new SigningError(`what it left at ${path} is larger than ${MAX_SIGNATURE_BYTES} bytes`);
    return await readFile(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    throw new SigningError(`there is no signature to be read at ${path} (${code})`, { cause: error });
  }
}
