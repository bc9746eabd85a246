import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../../src/db/sql.ts';
import { type ImportWorld, startImportWorld } from '../../ostree/import/import-world.ts';
import { change } from '../../ostree/sync/sync-world.ts';
import type { Answer } from '../../support/app.ts';
import { missing } from '../../support/missing.ts';
import { putChunk, sha256Of } from '../../support/upload-client.ts';
import { age, completed } from './upkeep-world.ts';

type Body = Answer['body'];
const API = '/pulp/api/v3/';

let world: ImportWorld;
before(async () => {
  world = await startImportWorld();
});
after(() => world?.stop());

/** Cleans up again and again until the work is done; answers how many units, and files, went. */
async function cleanedDuring(work: Promise<unknown>): Promise<{ units: number; files: number }> {
  let [over, units, files] = [false, 0, 0];
  const done = work.finally(() => (over = true));
  const cleanups = (async () => {
    while (!over) {
      const { result } = completed(await world.app.run(`${API}orphans/cleanup/`, { orphan_protection_time: 0 }));
      units += (Object.values(result.content) as number[]).reduce((sum, count) => sum + count, 0);
      files += result.files;
    }
  })();
  await Promise.all([done, cleanups]);
  return { units, files };
}

/** Every file of the version is there, and is what its artifact says. Answers how many. */
async function intact(versionHref: string): Promise<number> {
  const [, repository, number] = /ostree\/([0-9a-f-]{36})\/versions\/(\d+)\/$/.exec(versionHref) ?? [];
  const { db, storage } = world.app.services;
  const rows = await db.query<{ sha256: string; file: string }>(sql`
    select distinct a.sha256, a.file from repository_content rc join content c on c.id = rc.content_id join artifact a on a.id = c.artifact_id
    where rc.repository_id = ${repository}::uuid and rc.version_added <= ${number}::int
      and (rc.version_removed is null or rc.version_removed > ${number}::int)`);
  for (const { sha256, file } of rows) {
    const hash = createHash('sha256');
    for await (const chunk of await storage.read(file)) hash.update(chunk as Buffer);
    assert.equal(hash.digest('hex'), sha256);
  }
  return rows.length;
}

async function forget(repository: string): Promise<void> {
  const answer = await world.app.request('DELETE', repository);
  assert.equal(answer.status, 202);
  completed(await world.app.finished(answer));
}

describe('orphan cleanup while OSTree repositories are synced, imported and modified', { skip: missing('ostree') }, () => {
  const ROUNDS = 5;

  it('never takes what they rely on', async () => {
    const { fixture, upstream } = await world.upstream('small');
    const remote = await world.remote(upstream.url);
    const repository_name = fixture.path.split('/').at(-1) as string;
    const first = completed(await world.sync(await world.repository(), remote));
    let refs = await world.units('refs', first.created_resources[0]);
    const [{ present, files }, synced] = [
      { present: change(first, 'present'), files: await intact(first.created_resources[0]) },
      [first.created_resources[0].replace(/versions\/1\/$/, '')],
    ];
    let gone = 0;

    /** Units of the last round, which are in no version: they are there, or it is said that they are not. */
    const modified = async (): Promise<Body | undefined> => {
      const answer = await world.app.request('POST', `${await world.repository()}modify/`, {
        add_content_units: refs.map(({ pulp_href }) => pulp_href),
      });
      if (answer.status === 400) return undefined;
      const task = await world.app.finished(answer);
      if (task.state === 'completed') return task;
      assert.match(task.error.description, /was removed, being an orphan/);
      return undefined;
    };
    const imported = async (): Promise<Body> => {
      for (;;) {
        const repository = await world.repository();
        const artifact = await world.tarOf(fixture.path).catch((error: Error) => {
          assert.match(error.message, /already exists/);
          return undefined;
        });
        const known = artifact ?? (await world.app.request('GET', `${API}artifacts/?ordering=-size`)).body.results[0]?.pulp_href;
        if (!known) continue;
        const answer = await world.app.request('POST', `${repository}import_all/`, { artifact: known, repository_name });
        // Nothing has held the tar before the import was asked for.
        if (answer.status === 202) return completed(await world.app.finished(answer));
        assert.equal(answer.status, 400, JSON.stringify(answer.body));
      }
    };

    for (let round = 0; round < ROUNDS; round += 1) {
      for (const repository of synced.splice(0)) await forget(repository);
      await age(world.app);
      const repositories = [await world.repository(), await world.repository()];
      const work = Promise.all([
        modified(),
        ...repositories.map(async (repository) => completed(await world.sync(repository, remote))),
        imported(),
      ]);
      gone += (await cleanedDuring(work)).units;
      const [added, ...others] = await work;
      for (const task of [added, ...others]) {
        const [version] = task?.created_resources ?? [];
        if (!version) continue;
        assert.ok((await intact(version)) > 0);
        synced.push(version.replace(/versions\/1\/$/, ''));
      }
      for (const task of others.slice(0, 2)) {
        assert.deepEqual(change(task as Body, 'present'), present);
        assert.equal(await intact((task as Body).created_resources[0]), files);
      }
      refs = await world.units('refs', (others[0] as Body).created_resources[0]);
    }
    assert.ok(gone > 0, 'the cleanups had something to remove');
  });
});

describe('orphan cleanup while files are uploaded and units are made of them', () => {
  const ROUNDS = 6;
  const bodies = Array.from({ length: 4 }, (_, index) => Buffer.alloc(3000 + index, `body ${index} `));

  /** Uploads the bytes, in one request or in chunks; answers the artifact's href, also where it is there already. */
  async function uploaded(bytes: Buffer, chunked: boolean): Promise<string | undefined> {
    const sha256 = sha256Of(bytes);
    if (chunked) {
      const { body: upload } = await world.app.request('POST', `${API}uploads/`, { size: bytes.length });
      assert.equal((await putChunk(`${world.app.url}${upload.pulp_href}`, bytes, 0, bytes.length)).status, 200);
      const task = await world.app.run(`${upload.pulp_href}commit/`, { sha256 });
      if (task.state === 'completed') return task.created_resources[0];
      assert.match(task.error.description, /already exists/);
    } else {
      try {
        return await world.upload(bytes);
      } catch (error) {
        assert.match(String(error), /already exists/);
      }
    }
    return (await world.app.request('GET', `${API}artifacts/?sha256=${sha256}`)).body.results[0]?.pulp_href;
  }

  /** A version with a unit of the bytes; undefined where a cleanup came between the upload and the request. */
  async function made(bytes: Buffer, chunked: boolean): Promise<string | undefined> {
    const artifact = await uploaded(bytes, chunked);
    if (!artifact) return undefined;
    const repository = await world.repository();
    const digest = sha256Of(bytes);
    const relative_path = `extra/${repository.split('/').at(-2)}`;
    const answer = await world.app.request('POST', `${API}content/ostree/content/`, {
      artifact,
      digest,
      repository,
      relative_path,
    });
    if (answer.status === 400) assert.deepEqual(answer.body, { artifact: ['Invalid hyperlink - Object does not exist.'] });
    else {
      const task = await world.app.finished(answer);
      if (task.state === 'completed') return `${repository}versions/1/`;
      assert.equal(task.error.description, 'The artifact was removed before its content was made.');
    }
    await forget(repository);
    return undefined;
  }

  it('never takes what a unit has, and fails nobody without saying why', async () => {
    let [files, units] = [0, 0];
    for (let round = 0; round < ROUNDS; round += 1) {
      const work = Promise.all(bodies.flatMap((bytes) => [made(bytes, false), made(bytes, true), made(bytes, false)]));
      files += (await cleanedDuring(work)).files;
      for (const version of await work) {
        if (!version) continue;
        units += 1;
        assert.equal(await intact(version), 1);
        await forget(version.replace(/versions\/1\/$/, ''));
      }
      await age(world.app);
    }
    // On a busy machine every cleanup may have met unfinished tasks, and left the files to the next one.
    files += (await cleanedDuring(Promise.resolve())).files;
    assert.ok(files > 0 && units > 0, `${files} files went, ${units} units were made`);
  });
});
