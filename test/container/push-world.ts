import assert from 'node:assert/strict';
import type { Database } from '../../src/db/database.ts';
import { sql } from '../../src/db/sql.ts';
import { startApp, type TestApp } from '../support/app.ts';
import { type Credentials, RegistryUser } from './push-rig.ts';

const API = '/pulp/api/v3/';
const PASSWORD = 'Kiesel-7-Wolke';

/** A whole Deckle, with its worker, that is pushed to. */
export interface PushWorld {
  readonly app: TestApp;
  readonly db: Database;
  /** The administrator. */
  readonly admin: RegistryUser;
  /** A new user without roles. */
  user(username: string): Promise<RegistryUser>;
  /** Gives the user a role on an object, or on all. */
  grant(username: string, role: string, object?: string): Promise<void>;
  revoke(username: string, role: string, object: string): Promise<void>;
  /** Href of the repository, distribution or namespace of this name; undefined where there is none. */
  find(kind: 'repositories' | 'distributions' | 'namespaces', name: string): Promise<string | undefined>;
  /** Deletes, to the end of the task. */
  remove(href: string): Promise<void>;
  stop(): Promise<void>;
}

const COLLECTIONS = {
  repositories: `${API}repositories/container/container/`,
  distributions: `${API}distributions/container/container/`,
  namespaces: `${API}pulp_container/namespaces/`,
};

export async function startPushWorld(env: Readonly<Record<string, string>> = {}): Promise<PushWorld> {
  const app = await startApp({ env });
  // The name of the registry, which tokens are for, is not the address it is reached at.
  const address = { origin: app.url, host: new URL(app.services.config.PULP_CONTENT_ORIGIN).host };
  const { db } = app.services;
  const idOf = async (username: string): Promise<string> => {
    const [row] = await db.query<{ id: number }>(sql`select id from app_user where username = ${username}`);
    return `${API}users/${row?.id}/`;
  };
  return {
    app,
    db,
    admin: new RegistryUser(address, { username: 'admin', password: 'password' }),
    async user(username) {
      const credentials: Credentials = { username, password: PASSWORD };
      const { status, body } = await app.request('POST', `${API}users/`, credentials);
      assert.equal(status, 201, JSON.stringify(body));
      return new RegistryUser(address, credentials);
    },
    async grant(username, role, object) {
      const body = { role, content_object: object ?? null };
      const answer = await app.request('POST', `${await idOf(username)}roles/`, body);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
    },
    async revoke(username, role, object) {
      const answer = await app.request('POST', `${object}remove_role/`, { role, users: [username] });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
    },
    async find(kind, name) {
      const { body } = await app.request('GET', `${COLLECTIONS[kind]}?name=${encodeURIComponent(name)}`);
      return body.results[0]?.pulp_href;
    },
    async remove(href) {
      const answer = await app.request('DELETE', href);
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      const task = await app.finished(answer);
      assert.equal(task.state, 'completed', JSON.stringify(task.error));
    },
    stop: () => app.stop(),
  };
}
