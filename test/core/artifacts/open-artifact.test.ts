import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, it } from 'node:test';
import { v7 } from 'uuid';
import { OnDemandArtifacts, type WantedArtifact } from '../../../src/core/artifacts/open-artifact.ts';
import { UnavailableArtifactError } from '../../../src/core/artifacts/unavailable-artifact-error.ts';
import { sql } from '../../../src/db/sql.ts';
import { eventually } from '../../queue/eventually.ts';
import { startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;
let onDemand: OnDemandArtifacts;
let remoteId: string;

before(async () => {
  app = await startApp({ worker: false });
  onDemand = new OnDemandArtifacts(app.services);
  remoteId = v7();
  await app.services.db.execute(sql`
    insert into remote (id, domain_id, pulp_type, name, url, policy, pulp_last_updated)
    values (${remoteId}::uuid, ${app.services.domain.id}::uuid, 'container.container', 'upstream', 'http://127.0.0.1:9/', 'on_demand', now())`);
});
after(async () => {
  await onDemand?.close();
  await app?.stop();
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Content that nothing but its upstream has, which gives `forms`, one for each time it is asked. */
async function wanted(...forms: string[]): Promise<WantedArtifact> {
  const { db, domain } = app.services;
  const content_id = v7();
  await db.execute(sql`
    insert into content (id, domain_id, pulp_type, pulp_last_updated)
    values (${content_id}::uuid, ${domain.id}::uuid, 'container.blob', now())`);
  await db.execute(sql`insert into remote_content (content_id, remote_id) values (${content_id}::uuid, ${remoteId}::uuid)`);
  const fetchFrom: WantedArtifact['fetchFrom'] = async () => {
    const form = forms.shift();
    assert.ok(form !== undefined, 'the upstream is not asked again');
    return { size: form.length, body: Readable.from([Buffer.from(form)]) };
  };
  return { content_id, repository_id: v7(), name: 'a file', size: null, proven: {}, fetchFrom };
}

async function read(content: WantedArtifact): Promise<string> {
  const opened = await onDemand.open(content);
  if (opened === 'stored') return 'stored';
  let text = '';
  for await (const chunk of opened.body) text += chunk;
  return text;
}

const storedAs = async ({ content_id }: WantedArtifact): Promise<string | undefined> => {
  const [row] = await app.services.db.query<{ sha256: string }>(
    sql`select a.sha256 from content c join artifact a on a.id = c.artifact_id where c.id = ${content_id}::uuid`,
  );
  return row?.sha256;
};

const becomes = (content: WantedArtifact, checksum: string): Promise<true> =>
  eventually('the file to be stored', async () => ((await storedAs(content)) === checksum ? true : undefined));

const lose = async (checksum: string): Promise<void> => {
  const [row] = await app.services.db.query<{ file: string }>(sql`select file from artifact where sha256 = ${checksum}`);
  await app.services.storage.delete(row?.file as string);
};

it('stores what is not known by its sha256 under the one it has', async () => {
  const content = await wanted('the bytes');
  assert.equal(await read(content), 'the bytes');
  await becomes(content, sha256('the bytes'));
  assert.equal(await read(content), 'stored');
});

it('takes another form of the bytes for those whose file is lost', async () => {
  const content = await wanted('one form', 'another form');
  await read(content);
  await becomes(content, sha256('one form'));
  await lose(sha256('one form'));
  assert.equal(await read(content), 'another form');
  await becomes(content, sha256('another form'));
  assert.equal(await read(content), 'stored');
});

it('stores the same form of a lost file again', async () => {
  const content = await wanted('the only form', 'the only form');
  await read(content);
  await becomes(content, sha256('the only form'));
  await lose(sha256('the only form'));
  assert.equal(await read(content), 'the only form');
  await eventually('the file to be back', async () => ((await read(content)) === 'stored' ? true : undefined));
});

it('says how many remotes have been asked where none has the bytes', async () => {
  const content = await wanted();
  await app.services.db.execute(sql`delete from remote_content where content_id = ${content.content_id}::uuid`);
  await assert.rejects(
    onDemand.open(content),
    (error) => error instanceof UnavailableArtifactError && error.sources === 0 && error.message.startsWith('a file '),
  );
});
