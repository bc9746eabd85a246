import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { ConfigError, readConfig, settingsTable } from '../src/config.ts';

test('an empty environment is a complete configuration', () => {
  const config = readConfig({});
  assert.equal(config.HOST, '127.0.0.1');
  assert.equal(config.PORT, 24817);
  assert.equal(config.DATA_DIR, resolve('data'));
  assert.equal(config.WORKERS, 2);
  assert.equal(config.PULP_CONTENT_ORIGIN, 'http://localhost:24817');
  assert.equal(config.PULP_TOKEN_SERVER, 'http://localhost:24817/token/');
  assert.deepEqual(config.PULP_ALLOWED_CONTENT_CHECKSUMS, ['sha256']);
});

test('an empty value counts as unset', () => {
  assert.equal(readConfig({ PORT: '' }).PORT, 24817);
});

test('what follows from other settings follows them', () => {
  const config = readConfig({ PULP_CONTENT_ORIGIN: 'https://mirror.example.org/' });
  assert.equal(config.PULP_CONTENT_ORIGIN, 'https://mirror.example.org');
  assert.equal(config.PULP_TOKEN_SERVER, 'https://mirror.example.org/token/');
});

test('each wrong setting is named', () => {
  assert.throws(
    () => readConfig({ PORT: '70000', WORKERS: 'many', PULP_CACHE_ENABLED: 'maybe' }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const name of ['PORT', 'WORKERS', 'PULP_CACHE_ENABLED']) assert.match(error.message, new RegExp(`${name}: `));
      return true;
    },
  );
});

test('the message about a wrong setting keeps its secret', () => {
  assert.throws(
    () => readConfig({ DATABASE_URL: 'mysql://root:hunter2@db/x', REDIS_URL: 'http://:hunter2@cache' }),
    (error: unknown) => error instanceof ConfigError && /DATABASE_URL/.test(error.message) && !/hunter2/.test(error.message),
  );
});

test('sha256 cannot be taken out of the checksums', () => {
  assert.throws(
    () => readConfig({ PULP_ALLOWED_CONTENT_CHECKSUMS: 'md5' }),
    /PULP_ALLOWED_CONTENT_CHECKSUMS: must contain sha256/,
  );
});

test('the README has a row for every setting, as it is', () => {
  const rows = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => /^\| `[A-Z_]+` \|/.test(line));
  const expected = settingsTable().map(
    ({ name, fallback, description }) => `| \`${name}\` | ${fallback && `\`${fallback}\``} | ${description} |`,
  );
  assert.deepEqual(rows, expected);
});
