import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Answer } from '../../support/app.ts';
import { type FixtureKind, type OstreeFixture, ostreeFixture } from '../../support/ostree-fixtures.ts';
import { type SyncWorld, startSyncWorld } from '../sync/sync-world.ts';

type Body = Answer['body'];

/** A Deckle into which tars are imported. */
export interface ImportWorld extends SyncWorld {
  fixture(kind: FixtureKind): Promise<OstreeFixture>;
  /** Uploads a file; answers the artifact's href. */
  upload(bytes: Buffer): Promise<string>;
  /** Uploads a tar of a folder, which is in the tar by its own name; `options` go to tar. */
  tarOf(folder: string, ...options: readonly string[]): Promise<string>;
  /** The task of an import, at its end. */
  importAll(repository: string, artifact: string, repositoryName: string): Promise<Body>;
  importCommits(repository: string, artifact: string, repositoryName: string, ref: string): Promise<Body>;
}

let counted = 0;

export async function startImportWorld(env: Readonly<Record<string, string>> = {}): Promise<ImportWorld> {
  const world = await startSyncWorld(env);
  const { app, folder } = world;
  const next = (): string => join(folder, `import-${++counted}`);
  const upload = async (bytes: Buffer): Promise<string> => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(bytes)]), 'repository.tar');
    const authorization = `Basic ${Buffer.from('admin:password').toString('base64')}`;
    const response = await fetch(`${app.url}/pulp/api/v3/artifacts/`, { method: 'POST', headers: { authorization }, body: form });
    const body = (await response.json()) as Body;
    if (response.status !== 201) throw new Error(`the upload was refused: ${JSON.stringify(body)}`);
    return body.pulp_href;
  };
  return {
    ...world,
    upload,
    fixture: (kind) => ostreeFixture(kind, next()),
    async tarOf(path, ...options) {
      const tar = `${next()}.tar`;
      await promisify(execFile)('tar', ['-C', dirname(path), ...options, '-cf', tar, basename(path)]);
      return upload(await readFile(tar));
    },
    importAll: (repository, artifact, repository_name) => app.run(`${repository}import_all/`, { artifact, repository_name }),
    importCommits: (repository, artifact, repository_name, ref) =>
      app.run(`${repository}import_commits/`, { artifact, repository_name, ref }),
  };
}
