import { type StoredFile, saveArtifacts, saveContent } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import type { Storage } from '../../../storage/storage.ts';
import { CONFIGS, CONTENTS, SUMMARIES } from './content-tables.ts';

/** A stored file that is a unit of its own: `config`, `summary`, or any other path. */
export interface RepositoryFile {
  readonly relative_path: string;
  readonly file: StoredFile;
}

/** Saves files as units of the type that their path makes them, by one statement a table. Answers ids in the order of `files`; paths with their bytes must differ. */
export async function saveFiles(
  tx: Queryable,
  storage: Storage,
  domainId: string,
  files: readonly RepositoryFile[],
): Promise<string[]> {
  if (files.length === 0) return [];
  const artifacts = await saveArtifacts(
    tx,
    storage,
    domainId,
    files.map(({ file }) => file),
  );
  const row = ({ relative_path, file }: RepositoryFile) => {
    const { sha256 } = file.checksums;
    const artifact_id = artifacts.get(sha256);
    if (artifact_id === undefined) throw new Error(`the artifact of ${relative_path} went while it was saved`);
    return { relative_path, sha256, digest: sha256, artifact_id };
  };
  const isNamed = (name: string) => (file: RepositoryFile) => file.relative_path === name;
  const configs = files.filter(isNamed('config'));
  const summaries = files.filter(isNamed('summary'));
  const others = files.filter((file) => !configs.includes(file) && !summaries.includes(file));
  const ids = new Map<RepositoryFile, string>();
  const note = (saved: readonly RepositoryFile[], savedIds: readonly string[]): void => {
    for (const [index, file] of saved.entries()) ids.set(file, savedIds[index] as string);
  };
  note(configs, await saveContent(tx, domainId, CONFIGS, configs.map(row)));
  note(summaries, await saveContent(tx, domainId, SUMMARIES, summaries.map(row)));
  note(others, await saveContent(tx, domainId, CONTENTS, others.map(row)));
  return files.map((file) => ids.get(file) as string);
}
