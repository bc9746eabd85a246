import { contentIds, noteVersion, versionResponse } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { Progress, TaskContext } from '../../../kit/define-task.ts';
import { ContentSaver } from '../content/content-saver.ts';
import { publishOstreeVersion } from '../content/publish-version.ts';
import { saveRefs } from '../content/ref-saver.ts';
import { computeDeltas, computesDeltas, deltasTo } from '../deltas/compute-deltas.ts';
import type { SelectedRef } from '../sync/commit-chains.ts';
import { importCommitsOf } from './imported-commits.ts';
import { type ImportedFiles, importFiles } from './imported-files.ts';
import { TarRepository } from './tar-repository.ts';

/** A tar, and the repository that takes what is in it. */
export interface ImportSource {
  readonly repository_id: string;
  readonly artifact_id: string;
  /** The repository's folder in the tar. */
  readonly repository_name: string;
}

interface ImportKind {
  readonly code: string;
  readonly message: string;
  /** The refs that are taken. */
  readonly select: (tar: TarRepository) => Promise<readonly SelectedRef[]>;
  /** Whether the tar's config takes the place of the repository's. */
  readonly replacesConfig: boolean;
}

/**
 * Takes all refs of a repository in a tar, with all that came before them, into a new version (spec: ostree, 6). Answers that version as
 * the REST API does, or `{"base_version": null}` where nothing has changed.
 */
export const importAllRefs = (source: ImportSource, context: TaskContext): Promise<unknown> =>
  importRepository(
    source,
    {
      code: 'committing.tarball',
      message: 'Committing the tarball',
      replacesConfig: true,
      select: (tar) => Promise.all(tar.refs().map((name) => namedRef(tar, name))),
    },
    context,
  );

/** Takes one ref of a repository in a tar, whose commit has to follow another. Answers as importAllRefs does. */
export const importChildCommits = (
  { ref, ...source }: ImportSource & { readonly ref: string },
  context: TaskContext,
): Promise<unknown> =>
  importRepository(
    source,
    {
      code: 'adding.commits',
      message: 'Adding the child commits',
      replacesConfig: false,
      select: async (tar) => [await followingRef(tar, ref)],
    },
    context,
  );

async function namedRef(tar: TarRepository, name: string): Promise<SelectedRef> {
  const commit = await tar.ref(name);
  if (commit === undefined) throw new Error(`An invalid ref name in the repository was specified: ${name}`);
  return { name, commit };
}

async function followingRef(tar: TarRepository, name: string): Promise<SelectedRef> {
  const ref = await namedRef(tar, name);
  const head = await tar.parsedCommit(ref.commit);
  if (head && head.parent === undefined) {
    throw new Error(
      'The provided ref does not exist in the repository yet. Try importing first the whole repository, then additional commits.',
    );
  }
  return ref;
}

async function importRepository(source: ImportSource, kind: ImportKind, context: TaskContext): Promise<unknown> {
  const stage = context.progress(kind.code, kind.message, 1);
  const association = context.progress('associating.content', 'Associating Content');
  try {
    const imported = await readTar(source, kind, context);
    stage.increment();
    stage.complete();
    return await publish(source.repository_id, imported, association, context);
  } catch (error) {
    if (!context.signal.aborted) stage.fail();
    throw error;
  }
}

/** What an import has saved. */
interface Imported {
  /** Ids of refs and files. */
  readonly units: readonly string[];
  /** Ids of commits. */
  readonly commits: readonly string[];
  readonly summary: ImportedFiles['summary'];
}

async function readTar(source: ImportSource, kind: ImportKind, context: TaskContext): Promise<Imported> {
  const { services, signal } = context;
  const tar = await TarRepository.open({
    services,
    file: await findTar(source, context),
    name: source.repository_name,
    signal,
  });
  try {
    const config = await tar.parsedConfig();
    const refs = await kind.select(tar);
    const commits = await importCommitsOf(tar, refs, context);
    const files = await importFiles({ tar, config, refs, commits, ...source, replacesConfig: kind.replacesConfig }, context);
    const wanted = (await computesDeltas(services.db, source.repository_id)) ? deltasTo(refs, commits.parents) : [];
    const deltas = await computeDeltas(context, source.repository_id, wanted, files.units);
    const savedRefs = await saveRefs(new ContentSaver(services, context.task.domain_id), refs, commits.ids, services);
    return {
      units: [...savedRefs, ...files.units, ...deltas],
      commits: [...commits.ids.values(), ...commits.before],
      summary: files.summary,
    };
  } finally {
    await tar.close();
  }
}

/** Key of the stored tar. */
async function findTar({ artifact_id }: ImportSource, { services: { db } }: TaskContext): Promise<string> {
  // Orphan cleanup spares it while this task goes on.
  const [found] = await db.query<{ file: string }>(
    sql`update artifact set last_seen = now() where id = ${artifact_id}::uuid returning file`,
  );
  if (!found) throw new Error('the artifact was deleted before its import began');
  return found.file;
}

async function publish(
  repository_id: string,
  { units, commits, summary }: Imported,
  association: Progress,
  context: TaskContext,
): Promise<unknown> {
  const { db, catalog } = context.services;
  const version = await publishOstreeVersion(context, {
    repository_id,
    change: { add: contentIds(units) },
    commits,
    upstream: summary,
  });
  association.increment(version?.added ?? 0);
  association.complete();
  if (!version) return { base_version: null };
  noteVersion(context, { pulpType: 'ostree.ostree', repository_id }, version);
  return versionResponse(db, catalog, version.id);
}
