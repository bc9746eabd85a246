import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { missing } from './support/missing.ts';

/** What `config` makes of docker-compose.yml, as far as it is looked at here. */
interface Service {
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly user: string;
  readonly mem_limit: string | number;
  readonly ports?: readonly unknown[];
  readonly networks: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly deploy?: { readonly replicas: number };
  readonly volumes?: readonly (string | { readonly source: string; readonly target: string; readonly read_only?: boolean })[];
}
interface Composition {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
}

/** `docker compose` where there is one, else the older program of its own. */
const hasPlugin = missing('docker') === false && spawnSync('docker', ['compose', 'version']).status === 0;
const [program, first] = hasPlugin ? ['docker', ['compose']] : ['docker-compose', []];

/** `config` of the file in a folder of its own: an `.env` beside the real one belongs to somebody. */
function compose(env: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'deckle-compose-'));
  try {
    const file = join(folder, 'docker-compose.yml');
    copyFileSync(join(import.meta.dirname, '..', 'docker-compose.yml'), file);
    const { PATH = '', HOME = '' } = process.env;
    return spawnSync(program, [...first, '--file', file, 'config'], { env: { PATH, HOME, ...env }, encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const PASSWORDS = { POSTGRES_PASSWORD: 'secret1', REDIS_PASSWORD: 'secret2' };

describe('docker-compose.yml', { skip: hasPlugin ? false : missing('docker-compose') }, () => {
  function composed(env: Readonly<Record<string, string>>): Composition {
    const { status, stdout, stderr } = compose({ ...PASSWORDS, ...env });
    assert.equal(status, 0, stderr);
    return parse(stdout) as Composition;
  }

  it('is valid, with as many servers and workers as are asked for', () => {
    const { services } = composed({ SERVERS: '4', WORKERS: '8', PULP_CONTENT_ORIGIN: 'https://mirror.example.org' });
    assert.deepEqual(Object.keys(services).sort(), ['migrate', 'postgres', 'proxy', 'redis', 'server', 'worker']);
    assert.equal(services.server?.deploy?.replicas, 4);
    assert.equal(services.worker?.deploy?.replicas, 8);
    for (const name of ['migrate', 'server', 'worker']) {
      assert.equal(services[name]?.environment?.DATABASE_URL, 'postgresql://deckle:secret1@postgres:5432/deckle');
      assert.equal(services[name]?.environment?.REDIS_URL, 'redis://:secret2@redis:6379/0');
      assert.equal(services[name]?.environment?.PULP_CONTENT_ORIGIN, 'https://mirror.example.org');
    }
  });

  it('gives no part more than it needs', () => {
    const { services, networks } = composed({});
    for (const [name, service] of Object.entries(services)) {
      assert.equal(service.read_only, true, name);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.ok(service.user !== undefined && !/^(?:0|root)\b/.test(service.user), name);
      assert.ok(service.mem_limit, name);
    }
    assert.deepEqual(
      Object.keys(services).filter((name) => services[name]?.ports !== undefined),
      ['proxy'],
    );
    assert.equal(networks.back?.internal, true);
    for (const name of ['postgres', 'redis']) assert.deepEqual(Object.keys(services[name]?.networks ?? {}), ['back'], name);
  });

  it('lets the proxy send the files, and read nothing else', () => {
    const { services } = composed({ SERVER_PROCESSES: '3' });
    const { environment } = services.server ?? {};
    assert.equal(environment?.DECKLE_SERVERS, '3');
    assert.equal(environment?.DECKLE_X_ACCEL_REDIRECT, '/deckle-media/');
    const mounts = (name: string) =>
      (services[name]?.volumes ?? []).map((volume) =>
        typeof volume === 'string' ? volume : `${volume.source}:${volume.target}:${volume.read_only === true ? 'ro' : 'rw'}`,
      );
    const [settings, ...others] = mounts('proxy');
    assert.match(String(settings), /\/docker\/nginx\.conf:\/etc\/deckle\/nginx\.conf:ro$/);
    assert.deepEqual(others, ['media:/media:ro']);
    assert.deepEqual(mounts('server'), ['data:/data:rw', 'media:/data/media:rw']);
    const proxy = readFileSync(join(import.meta.dirname, '../docker/nginx.conf'), 'utf8');
    assert.match(proxy, /location \/deckle-media\/ \{\s+internal;\s+alias \/media\/;/);
  });

  it('asks for the passwords that it needs', () => {
    for (const name of Object.keys(PASSWORDS)) {
      const { status, stderr } = compose({ ...PASSWORDS, [name]: '' });
      assert.notEqual(status, 0, name);
      assert.match(stderr, /set it in \.env/);
    }
  });
});
