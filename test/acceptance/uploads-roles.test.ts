import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, it } from 'node:test';
import { putChunk, sha256Of } from '../support/upload-client.ts';
import { type Answer, openServer, type Server, unique } from './server.ts';

const API = '/pulp/api/v3/';
const UPLOADS = `${API}uploads/`;
const PASSWORD = 'correct-horse-battery-9';
const DENIED = { detail: 'You do not have permission to perform this action.' };
const UNKNOWN = { detail: 'No Upload matches the given query.' };

let server: Server;
before(async () => {
  server = await openServer();
});
after(() => server?.stop());

interface Actor {
  readonly username: string;
  readonly authorization: string;
  request(method: string, path: string, body?: unknown): Promise<Answer>;
}

/** A new user who holds a role on everything, or none. */
async function actor(word: string, role?: string): Promise<Actor> {
  const username = unique(word);
  const { status, body } = await server.request('POST', `${API}users/`, { username, password: PASSWORD });
  assert.equal(status, 201, JSON.stringify(body));
  server.made.push(body.pulp_href);
  if (role !== undefined) {
    const given = await server.request('POST', `${body.pulp_href}roles/`, { role, content_object: null, domain: null });
    assert.equal(given.status, 201, JSON.stringify(given.body));
  }
  const authorization = `Basic ${Buffer.from(`${username}:${PASSWORD}`).toString('base64')}`;
  return { username, authorization, request: (method, path, sent) => server.request(method, path, sent, { authorization }) };
}

it('who has a role on an upload does with it what the role is for; others do not see it', async () => {
  const [owner, viewer, stranger] = [await actor('owner'), await actor('viewer'), await actor('stranger')];
  for (const { request } of [owner, viewer, stranger]) {
    const refused = await request('POST', UPLOADS, { size: 20 });
    assert.deepEqual([refused.status, refused.body], [403, DENIED]);
  }
  const made = await server.request('POST', UPLOADS, { size: 20 });
  assert.equal(made.status, 201);
  const href = made.body.pulp_href;
  for (const [{ username }, role] of [
    [owner, 'core.upload_owner'],
    [viewer, 'core.upload_viewer'],
  ] as const) {
    const given = await server.request('POST', `${href}add_role/`, { role, users: [username] });
    assert.equal(given.status, 201, JSON.stringify(given.body));
  }
  const whole = randomBytes(20);
  const put = ({ authorization }: Actor) => putChunk(`${server.url}${href}`, whole, 0, 20, authorization);
  const commit = ({ request }: Actor) => request('POST', `${href}commit/`, { sha256: sha256Of(whole) });

  assert.equal((await put(owner)).status, 200);
  assert.deepEqual((await owner.request('GET', href)).body.chunks, [{ offset: 0, size: 20 }]);
  assert.equal((await viewer.request('GET', href)).status, 200);
  for (const refused of [await put(viewer), await commit(viewer), await viewer.request('DELETE', href)])
    assert.deepEqual([refused.status, refused.body], [403, DENIED]);
  for (const unseen of [
    await stranger.request('GET', href),
    await put(stranger),
    await commit(stranger),
    await stranger.request('DELETE', href),
  ])
    assert.deepEqual([unseen.status, unseen.body], [404, UNKNOWN]);
  assert.equal((await stranger.request('GET', UPLOADS)).body.count, 0);
  assert.deepEqual(
    (await owner.request('GET', UPLOADS)).body.results.map(({ pulp_href }: { pulp_href: string }) => pulp_href),
    [href],
  );

  const dispatched = await commit(owner);
  assert.equal(dispatched.status, 202);
  const task = await server.finished(dispatched);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  assert.equal((await owner.request('GET', dispatched.body.task)).body.created_resources.length, 1);
  const artifact = await owner.request('GET', task.created_resources[0]);
  assert.deepEqual([artifact.status, artifact.body], [403, DENIED]);
});

it('who may make uploads owns his own, and sees no others', async () => {
  const maker = await actor('maker', 'core.upload_creator');
  const other = await server.request('POST', UPLOADS, { size: 20 });
  const made = await maker.request('POST', UPLOADS, { size: 20 });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  assert.deepEqual((await maker.request('GET', UPLOADS)).body.results, [made.body]);
  assert.equal((await maker.request('GET', other.body.pulp_href)).status, 404);
  const { status } = await putChunk(`${server.url}${made.body.pulp_href}`, randomBytes(20), 0, 20, maker.authorization);
  assert.equal(status, 200);
  assert.equal((await maker.request('DELETE', made.body.pulp_href)).status, 204);
  assert.equal((await server.request('DELETE', other.body.pulp_href)).status, 204);
});

it('signing services are for administrators', async () => {
  const { request } = await actor('anyone');
  for (const path of [`${API}signing-services/`, `${API}artifacts/`]) {
    const { status, body } = await request('GET', path);
    assert.deepEqual([status, body], [403, DENIED]);
  }
});
