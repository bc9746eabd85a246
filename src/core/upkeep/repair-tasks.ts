import { z } from 'zod';
import type { Database } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import { defineTask, type Progress, type TaskContext } from '../../kit/define-task.ts';
import type { ServedVersion } from '../../kit/served-file.ts';
import type { UnitFiles } from '../../kit/unit-files.ts';
import { forEachConcurrent } from '../../lib/concurrent-map.ts';
import { inVersion } from '../repositories/version-content.ts';
import { pagesById } from './pages-by-id.ts';
import { type CheckedArtifact, contentOf, type Flaw, flawOf, restore, unitFiles, withdraw } from './repair-files.ts';

const PAGE = 1000;
/** Files that are read, or fetched again, at once. */
const FILES_AT_ONCE = 4;
/** Digests that the report names of what could not be repaired, and the result. */
const NAMED = 10;
const LISTED = 1000;

/** The task's result; digests are of files that are still missing or damaged. */
interface Repaired {
  readonly checked: number;
  readonly missing: number;
  readonly corrupted: number;
  readonly repaired: number;
  readonly unrepaired: readonly string[];
}

/** Checks the files of a version, and gets again what is missing or damaged (spec: repositories, Repair). */
export const repairVersion = defineTask({
  name: 'pulpcore.app.tasks.repository.repair_version',
  args: z.strictObject({ version_id: z.uuid(), verify_checksums: z.boolean() }),
  rerun: true,
  async run({ version_id, verify_checksums }, context) {
    const [version] = await context.services.db.query<ServedVersion>(
      sql`select repository_id, number from repository_version where id = ${version_id}::uuid`,
    );
    if (!version) throw new Error('the repository version was deleted before its repair began');
    const held = sql`a.id in (
      select c.artifact_id from repository_content rc join content c on c.id = rc.content_id where ${inVersion(version)})`;
    return new Repair(context, verify_checksums).run(held);
  },
});

/** As `repairVersion`, of all content. */
export const repairAll = defineTask({
  name: 'pulpcore.app.tasks.repository.repair_all_artifacts',
  args: z.strictObject({ verify_checksums: z.boolean() }),
  rerun: true,
  run: ({ verify_checksums }, context) =>
    new Repair(context, verify_checksums).run(sql`exists (select from content c where c.artifact_id = a.id)`),
});

class Repair {
  readonly #context: TaskContext;
  readonly #verify: boolean;
  readonly #missing: Progress;
  readonly #corrupted: Progress;
  readonly #repaired: Progress;
  readonly #counts = { checked: 0, missing: 0, corrupted: 0, repaired: 0 };
  readonly #unrepaired: string[] = [];
  #lost = 0;

  constructor(context: TaskContext, verify: boolean) {
    this.#context = context;
    this.#verify = verify;
    this.#missing = context.progress('repair.missing', 'Identify missing units');
    this.#corrupted = context.progress('repair.corrupted', 'Identify corrupted units');
    this.#repaired = context.progress('repair.repaired', 'Repair corrupted units');
  }

  /** `which` is a condition on artifact `a`. */
  async run(which: Sql): Promise<Repaired> {
    const { services, task, signal, log } = this.#context;
    const files = unitFiles(services);
    try {
      const source = artifactsOf(services.db, task.domain_id, which);
      const check = (artifact: CheckedArtifact) => this.#check(artifact, files);
      await forEachConcurrent(source, check, { limit: FILES_AT_ONCE, signal });
    } finally {
      await files.close();
    }
    if (this.#lost > 0) this.#repaired.setSuffix(this.#left());
    for (const report of [this.#missing, this.#corrupted, this.#repaired]) report.complete();
    log.info({ ...this.#counts, unrepaired: this.#lost }, 'stored files checked');
    return { ...this.#counts, unrepaired: this.#unrepaired };
  }

  async #check(artifact: CheckedArtifact, files: UnitFiles): Promise<void> {
    const { services, signal, log } = this.#context;
    this.#counts.checked += 1;
    const flaw = await flawOf(services, artifact, this.#verify, signal);
    if (!flaw) return;
    const units = await contentOf(services, artifact.id);
    // Reclaimed, or removed as an orphan, since it was looked for.
    if (units.length === 0) return;
    this.#note(artifact, flaw);
    if (flaw.kind === 'corrupted') await withdraw(services, artifact.file, flaw.found);
    const found = await files.find(units);
    const ways = units.flatMap((id) => {
      const file = found.get(id);
      return file ? [{ id, file }] : [];
    });
    const onFailure = (remote_id: string, error: unknown) =>
      log.warn({ err: error, remote_id, sha256: artifact.sha256 }, 'a remote does not give a file that is to be repaired');
    const whole = await restore(services, this.#context.task.domain_id, artifact, ways, onFailure, signal);
    if (whole && ways.length === units.length) {
      this.#counts.repaired += 1;
      this.#repaired.increment();
      log.info({ sha256: artifact.sha256 }, 'stored file repaired');
    } else this.#giveUp(artifact);
  }

  #note({ sha256, file }: CheckedArtifact, { kind }: Flaw): void {
    this.#counts[kind] += 1;
    (kind === 'missing' ? this.#missing : this.#corrupted).increment();
    this.#context.log.warn({ sha256, file, flaw: kind }, 'stored file is not as it should be');
  }

  #giveUp({ sha256, file }: CheckedArtifact): void {
    this.#lost += 1;
    if (this.#unrepaired.length < LISTED) this.#unrepaired.push(`sha256:${sha256}`);
    this.#context.log.error(
      { sha256, file },
      'stored file cannot be repaired: no remote gives it. What is left of it is kept aside',
    );
  }

  #left(): string {
    const named = this.#unrepaired.slice(0, NAMED).join(', ');
    return `${this.#lost} not repaired: ${named}${this.#lost > NAMED ? ', …' : ''}`;
  }
}

async function* artifactsOf(db: Database, domainId: string, which: Sql): AsyncGenerator<CheckedArtifact> {
  const checked = (after: string) => sql`
    select a.id, a.file, a.size, a.sha256 from artifact a
    where a.domain_id = ${domainId}::uuid and a.id > ${after}::uuid and ${which}`;
  for await (const page of pagesById<CheckedArtifact>(db, PAGE, checked)) yield* page;
}
