import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { sql } from '../../src/db/sql.ts';
import { type ImageContent, imageOf } from '../../src/demo/image.ts';
import { layerOf } from '../../src/demo/layer.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type ServerBeside, startServerBeside } from '../support/server-beside.ts';
import { startUpstream, type Upstream } from '../support/upstream-registry.ts';

/*
 * Changes are made by one server and its worker; the very next request goes to another server, a process of its own that has answered the
 * same before and so has it in memory.
 */

const API = '/pulp/api/v3/';
const DISTRIBUTIONS = `${API}distributions/container/container/`;
const PASSWORD = 'Quite a long passphrase 7';
const IMAGES = [0, 1].map((number) => imageOf({ layers: [layerOf({ 'etc/motd': `number ${number}` })] })) as [
  ImageContent,
  ImageContent,
];

let upstream: Upstream;
let app: TestApp;
const others: ServerBeside[] = [];
/** Versions of the repository that have the one image and the other. */
const versions: string[] = [];
let repository: string;
let remote: string;

async function startOther(database?: string): Promise<ServerBeside> {
  const other = await startServerBeside(app, database);
  others.push(other);
  return other;
}

async function sync(image: ImageContent): Promise<void> {
  upstream.put('app', image, 'latest');
  const task = await app.run(`${repository}sync/`, { remote });
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
}

async function ok(answer: ReturnType<TestApp['request']>) {
  const { status, body } = await answer;
  assert.ok(status < 300, JSON.stringify(body));
  return body;
}

async function done(answer: ReturnType<TestApp['request']>) {
  const { body } = await app.request('GET', (await ok(answer)).task);
  const task = body.state === 'completed' ? body : await app.finished(body.pulp_href);
  assert.equal(task.state, 'completed', JSON.stringify(task.error));
  return task;
}

async function distribute(name: string, serves: object): Promise<string> {
  const task = await done(app.request('POST', DISTRIBUTIONS, { name, base_path: name, ...serves }));
  return task.created_resources[0];
}

const change = (distribution: string, body: object) => done(app.request('PATCH', distribution, body));

async function tokenFor(name: string, user: string | null = null, actions = 'pull'): Promise<string> {
  const { host } = new URL(app.services.config.PULP_CONTENT_ORIGIN);
  const path = `/token/?service=${host}&scope=repository:${name}:${actions}`;
  return (await ok(app.request('GET', path, undefined, { user }))).token;
}

/** Status, and the digest where there is one. */
async function pull(origin: string, name: string, token: string): Promise<string> {
  const response = await fetch(`${origin}/v2/${name}/manifests/latest`, { headers: { authorization: `Bearer ${token}` } });
  await response.arrayBuffer();
  return response.ok ? (response.headers.get('docker-content-digest') ?? '') : String(response.status);
}

async function seenByAll(name: string, token: string, expected: string, message: string): Promise<void> {
  const seen = await Promise.all(others.map(({ url }) => pull(url, name, token)));
  assert.deepEqual(
    seen,
    others.map(() => expected),
    message,
  );
}

before(async () => {
  upstream = await startUpstream();
  app = await startApp({ env: { DECKLE_ALLOWED_REMOTE_NETWORKS: '127.0.0.0/8' } });
  await startOther();
  await startOther();
  const made = await ok(app.request('POST', `${API}repositories/container/container/`, { name: 'app' }));
  repository = made.pulp_href;
  const from = { name: 'upstream', url: upstream.url, upstream_name: 'app' };
  remote = (await ok(app.request('POST', `${API}remotes/container/container/`, from))).pulp_href;
  for (const image of IMAGES) {
    await sync(image);
    versions.push((await ok(app.request('GET', repository))).latest_version_href);
  }
  await ok(app.request('POST', `${API}users/`, { username: 'ada', password: PASSWORD }));
});
after(async () => {
  await Promise.all(others.map((other) => other.kill()));
  await app?.stop();
  await upstream?.stop();
});

describe('the next request on every server sees', () => {
  it('a tag that a sync has moved', async () => {
    await distribute('moving', { repository });
    const token = await tokenFor('moving');
    for (let turn = 0; turn < 60; turn += 1) {
      const image = IMAGES[turn % 2] as ImageContent;
      await sync(image);
      await seenByAll('moving', token, image.digest, `sync ${turn}`);
    }
  });

  it('a distribution that serves another version', async () => {
    const distribution = await distribute('turning', { repository_version: versions[0] });
    const token = await tokenFor('turning');
    for (let turn = 1; turn <= 200; turn += 1) {
      await change(distribution, { repository_version: versions[turn % 2] });
      await seenByAll('turning', token, (IMAGES[turn % 2] as ImageContent).digest, `change ${turn}`);
    }
  });

  it('a distribution that has become private, whatever the token said', async () => {
    const distribution = await distribute('hiding', { repository_version: versions[0] });
    const token = await tokenFor('hiding');
    for (let turn = 0; turn < 100; turn += 1) {
      await seenByAll('hiding', token, IMAGES[0].digest, `public ${turn}`);
      await change(distribution, { private: true });
      await seenByAll('hiding', token, '401', `private ${turn}`);
      await change(distribution, { private: false });
    }
  });

  it('a role that is given and taken, a group that is entered and left, a user who is switched off', async () => {
    const distribution = await distribute('guarded', { repository_version: versions[0], private: true });
    const consumer = { role: 'container.containerdistribution_consumer' };
    await ok(app.request('POST', `${distribution}add_role/`, { ...consumer, users: ['ada'] }));
    const token = await tokenFor('guarded', `ada:${PASSWORD}`);
    const allowed = (message: string) => seenByAll('guarded', token, IMAGES[0].digest, message);
    const refused = (message: string) => seenByAll('guarded', token, '401', message);
    for (let turn = 0; turn < 100; turn += 1) {
      await allowed(`with the role ${turn}`);
      await ok(app.request('POST', `${distribution}remove_role/`, { ...consumer, users: ['ada'] }));
      await refused(`without the role ${turn}`);
      await ok(app.request('POST', `${distribution}add_role/`, { ...consumer, users: ['ada'] }));
    }
    const [ada] = (await ok(app.request('GET', `${API}users/?username=ada`))).results;
    for (let turn = 0; turn < 50; turn += 1) {
      await ok(app.request('PATCH', ada.pulp_href, { is_active: false }));
      await refused(`switched off ${turn}`);
      await ok(app.request('PATCH', ada.pulp_href, { is_active: true }));
      await allowed(`switched on ${turn}`);
    }
    await ok(app.request('POST', `${distribution}remove_role/`, { ...consumer, users: ['ada'] }));
    const group = (await ok(app.request('POST', `${API}groups/`, { name: 'pullers' }))).pulp_href;
    await ok(app.request('POST', `${distribution}add_role/`, { ...consumer, groups: ['pullers'] }));
    for (let turn = 0; turn < 50; turn += 1) {
      await ok(app.request('POST', `${group}users/`, { username: 'ada' }));
      await allowed(`in the group ${turn}`);
      await ok(app.request('DELETE', `${group}users/${ada.id}/`));
      await refused(`out of the group ${turn}`);
    }
    await ok(app.request('POST', `${distribution}add_role/`, { ...consumer, users: ['ada'] }));
    await allowed('before the role is changed');
    const own = await ok(
      app.request('POST', `${API}roles/`, { name: 'pulling', permissions: ['container.pull_containerdistribution'] }),
    );
    await ok(app.request('POST', `${distribution}remove_role/`, { ...consumer, users: ['ada'] }));
    await ok(app.request('POST', `${distribution}add_role/`, { role: 'pulling', users: ['ada'] }));
    await allowed('by a role of his own');
    await ok(app.request('PATCH', own.pulp_href, { permissions: ['container.view_containerdistribution'] }));
    await refused('by a role that says something else');
  });

  it('a user who is switched off, and may push no more', async () => {
    const bob = (await ok(app.request('POST', `${API}users/`, { username: 'bob', password: PASSWORD }))).pulp_href;
    const role = { role: 'container.containernamespace_creator', content_object: null };
    await ok(app.request('POST', `${bob}roles/`, role));
    const token = await tokenFor('bob/app', `bob:${PASSWORD}`, 'pull,push');
    const begun = async (message: string, expected: number) => {
      for (const { url } of others) {
        const headers = { authorization: `Bearer ${token}` };
        const answer = await fetch(`${url}/v2/bob/app/blobs/uploads/`, { method: 'POST', headers });
        assert.equal(answer.status, expected, `${message}: ${await answer.text()}`);
      }
    };
    for (let turn = 0; turn < 20; turn += 1) {
      await begun(`switched on ${turn}`, 202);
      await ok(app.request('PATCH', bob, { is_active: false }));
      await begun(`switched off ${turn}`, 401);
      await ok(app.request('PATCH', bob, { is_active: true }));
    }
  });

  it('a policy that was changed and reset', async () => {
    await distribute('policed', { repository_version: versions[0] });
    const token = await tokenFor('policed');
    const viewset = 'distributions/container/container';
    const [policy] = (await ok(app.request('GET', `${API}access_policies/?viewset_name=${viewset}`))).results;
    const statements = [{ action: '*', effect: 'allow', principal: 'admin' }];
    for (let turn = 0; turn < 30; turn += 1) {
      await ok(app.request('PATCH', policy.pulp_href, { statements }));
      await seenByAll('policed', token, '401', `changed ${turn}`);
      await ok(app.request('POST', `${policy.pulp_href}reset/`));
      await seenByAll('policed', token, IMAGES[0].digest, `reset ${turn}`);
    }
  });

  it('a distribution that is deleted and made anew', async () => {
    const token = await tokenFor('fleeting');
    for (let turn = 0; turn < 50; turn += 1) {
      const distribution = await distribute('fleeting', { repository_version: versions[turn % 2] });
      await seenByAll('fleeting', token, (IMAGES[turn % 2] as ImageContent).digest, `made ${turn}`);
      await done(app.request('DELETE', distribution));
      await seenByAll('fleeting', token, '404', `deleted ${turn}`);
    }
  });
});

/** A distribution that serves the one version and the other in turn. */
async function turning(name: string) {
  const distribution = await distribute(name, { repository_version: versions[0] });
  const token = await tokenFor(name);
  let turn = 0;
  return {
    token,
    /** Answers the digest that is served from now on. */
    async turn(): Promise<string> {
      turn += 1;
      await change(distribution, { repository_version: versions[turn % 2] });
      return (IMAGES[turn % 2] as ImageContent).digest;
    },
  };
}

/** PostgreSQL at another port. `hush` lets nothing more through to connections that listen, as a network does that has broken. */
async function startPostgresProxy(target: string) {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const listening = new Set<Socket>();
  let hushed = false;
  const server = createServer((client) => {
    const database = connect(Number(port), hostname);
    for (const socket of [client, database]) sockets.add(socket.on('error', () => socket.destroy()));
    client.once('data', (startup) => {
      if (startup.includes('deckle listener')) listening.add(database);
      if (!hushed || !listening.has(database)) database.pipe(client);
    });
    client.pipe(database);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    hush() {
      hushed = true;
      for (const socket of listening) socket.unpipe().pause();
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const LISTENERS = sql`select pid from pg_stat_activity where datname = current_database() and application_name like 'deckle listener %'`;

describe('nothing stale is answered, and changes go on,', () => {
  it('while the connections on which servers hear of changes are cut', async () => {
    const { token, turn } = await turning('cut');
    for (let time = 0; time < 40; time += 1) {
      await seenByAll('cut', token, await turn(), `before cut ${time}`);
      await app.services.db.query(sql`select pg_terminate_backend(pid) from (${LISTENERS}) listening`);
      await seenByAll('cut', token, await turn(), `after cut ${time}`);
    }
  });

  it('when a server is killed', async () => {
    const { token, turn } = await turning('killed');
    const victim = await startOther();
    await seenByAll('killed', token, await turn(), 'before');
    others.splice(others.indexOf(victim), 1);
    const ended = victim.kill();
    await seenByAll('killed', token, await turn(), 'after');
    await ended;
  });

  it('when a server hears nothing more, and its connection does not break', async () => {
    const { token, turn } = await turning('deaf');
    const proxy = await startPostgresProxy(app.services.config.DATABASE_URL ?? '');
    try {
      const deaf = await startOther(proxy.url);
      await seenByAll('deaf', token, await turn(), 'before');
      proxy.hush();
      for (let time = 0; time < 3; time += 1) await seenByAll('deaf', token, await turn(), `deaf ${time}`);
      others.splice(others.indexOf(deaf), 1);
      await deaf.kill();
    } finally {
      proxy.stop();
    }
  });

  it('when a server does not answer for a while, and then goes on', async () => {
    const { token, turn } = await turning('stopped');
    const stopped = await startOther();
    for (let time = 0; time < 3; time += 1) {
      await seenByAll('stopped', token, await turn(), `before ${time}`);
      others.splice(others.indexOf(stopped), 1);
      stopped.process.kill('SIGSTOP');
      // Waits until what the stopped one keeps has expired; the second knows.
      await seenByAll('stopped', token, await turn(), `others, while one is stopped ${time}`);
      const last = await turn();
      const asked = pull(stopped.url, 'stopped', token);
      stopped.process.kill('SIGCONT');
      assert.equal(await asked, last);
      others.push(stopped);
    }
  });
});
