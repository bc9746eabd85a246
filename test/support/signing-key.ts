import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A key pair of the real gpg in a home of its own, and scripts that sign with it. */
export interface SigningKey {
  readonly home: string;
  /** Of the primary key. */
  readonly fingerprint: string;
  /** The public key, ASCII-armored. */
  readonly publicKey: string;
  /** Writes a script of this body, which may use `"$1"` and `sign OPTION…`; answers its path. */
  script(name: string, body: string): Promise<string>;
  remove(): Promise<void>;
}

/** Signs as Pulp's documentation has it: beside the file, and as a message. */
export const SIGN_DETACHED =
  'sign --detach-sign --output "$1.asc" "$1" && echo "{\\"file\\": \\"$1\\", \\"signature\\": \\"$1.asc\\"}"';
export const SIGN_MANIFEST = 'sign --sign --output "$SIG_PATH" "$1" && echo "{\\"signature_path\\": \\"$SIG_PATH\\"}"';

/** Makes a key of which a subkey signs; or the primary key does, the only one that registries' clients take for trusted. Needs gpg. */
export async function signingKey(signer: 'subkey' | 'primary' = 'subkey'): Promise<SigningKey> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'deckle-key-')));
  const home = join(folder, 'home');
  await mkdir(home, { mode: 0o700 });
  const gpg = async (...args: readonly string[]) => (await run('gpg', ['--batch', '--homedir', home, ...args])).stdout;
  await gpg(
    '--passphrase',
    '',
    '--quick-generate-key',
    'Signer <signer@example.org>',
    'ed25519',
    signer === 'primary' ? 'cert,sign' : 'cert',
    'never',
  );
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(await gpg('--with-colons', '--list-keys'))?.[1] as string;
  if (signer === 'subkey') await gpg('--passphrase', '', '--quick-add-key', fingerprint, 'ed25519', 'sign', 'never');
  return {
    home,
    fingerprint,
    publicKey: await gpg('--armor', '--export', fingerprint),
    async script(name, body) {
      const path = join(folder, name);
      const sign = `sign() { gpg --quiet --batch --yes --homedir '${home}' --local-user "$PULP_SIGNING_KEY_FINGERPRINT" --armor "$@"; }`;
      await writeFile(path, `#!/bin/sh\n${sign}\n${body}\n`, { mode: 0o755 });
      return path;
    },
    async remove() {
      await run('gpgconf', ['--homedir', home, '--kill', 'all']);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
