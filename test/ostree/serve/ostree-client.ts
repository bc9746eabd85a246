import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ostree } from '../../support/ostree-fixtures.ts';

/** A repository of the real `ostree`, which pulls from a distribution. */
export class OstreeClient {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes an empty one in `folder`, with `url` as its remote `deckle`; signatures are asked for where a key is given. */
  static async make(
    folder: string,
    url: string,
    { mode = 'archive', publicKey }: { readonly mode?: 'archive' | 'bare-user-only'; readonly publicKey?: string } = {},
  ): Promise<OstreeClient> {
    await mkdir(folder);
    const client = new OstreeClient(join(folder, 'repo'));
    await ostree(client.path, 'init', `--mode=${mode}`);
    if (publicKey === undefined) {
      await ostree(client.path, 'remote', 'add', '--no-gpg-verify', 'deckle', url);
      return client;
    }
    const key = join(folder, 'key.asc');
    await writeFile(key, publicKey);
    const verify = ['--set=gpg-verify=true', '--set=gpg-verify-summary=true', `--gpg-import=${key}`];
    await ostree(client.path, 'remote', 'add', ...verify, 'deckle', url);
    return client;
  }

  /** `ostree pull`; what it printed. */
  pull(...args: readonly string[]): Promise<string> {
    return ostree(this.path, 'pull', ...args);
  }

  /** Has the client check every object that it has. */
  async fsck(): Promise<void> {
    await ostree(this.path, 'fsck', '--quiet');
  }

  /** The commit that the remote's ref is at. */
  async commitOf(ref: string): Promise<string> {
    return (await ostree(this.path, 'rev-parse', ref)).trim();
  }

  /** Commits, from a ref's own to the first that is here. */
  async history(ref: string): Promise<string[]> {
    const log = await ostree(this.path, 'log', ref);
    return [...log.matchAll(/^commit ([0-9a-f]{64})$/gm)].map(([, checksum]) => checksum as string);
  }
}
