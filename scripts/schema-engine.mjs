#!/usr/bin/env node
// What Prisma's CLI calls in place of its native schema engine, which it would have to download: the engine's WebAssembly
// build, which npm delivers, behind the same protocol (JSON-RPC, a line a message, on stdin and stdout).
// For developers and CI only; src/db/migrate.ts applies the migrations in production.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils';
import pg from 'pg';

const CHAR_OID = 18; // the catalog type "char", which the adapter does not know and introspection reads
const TEXT_OID = 25;

/** Connection parts, apart: beside a connection string the adapter ignores the name of the shadow database, and replays on the real one. */
function connectionParts(text) {
  const url = new URL(text);
  return {
    host: decodeURIComponent(url.hostname),
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
  };
}

/** Mends two things of the stock adapter: it splits scripts at every `;`, also inside `$$` bodies, and it rejects `"char"`. */
function mended(adapter) {
  const performIO = adapter.performIO.bind(adapter);
  const queryRaw = adapter.queryRaw.bind(adapter);
  const charColumns = new WeakMap(); // by the rows, which are the same array in both answers
  adapter.performIO = async (query) => {
    const { rows, fields, ...rest } = await performIO(query);
    const isChar = fields.map((field) => field.dataTypeID === CHAR_OID);
    charColumns.set(rows, isChar);
    return { ...rest, rows, fields: fields.map((field, i) => (isChar[i] ? { name: field.name, dataTypeID: TEXT_OID } : field)) };
  };
  adapter.queryRaw = async (query) => {
    const { columnTypes, ...rest } = await queryRaw(query);
    const isChar = charColumns.get(rest.rows);
    return { ...rest, columnTypes: columnTypes.map((type, i) => (isChar[i] ? ColumnTypeEnum.Character : type)) };
  };
  // One simple query is one transaction: a migration that fails is rolled back whole.
  adapter.executeScript = async (script) => {
    await adapter.client.query(script).catch((error) => adapter.onError(error));
  };
  return adapter;
}

/** The adapter's factory, with shadow databases that are dropped after the last connection to them is closed. */
class MigrationAdapterFactory extends PrismaPg {
  async connect() {
    return mended(await super.connect());
  }

  async connectToShadowDb() {
    const admin = await this.connect();
    const database = `prisma_migrate_shadow_db_${crypto.randomUUID()}`;
    await admin.executeScript(`create database ${pg.escapeIdentifier(database)}`);
    const shadow = await new PrismaPg({ ...this.config, database }).connect();
    const disconnect = shadow.dispose.bind(shadow);
    shadow.dispose = async () => {
      await disconnect();
      await admin.executeScript(`drop database ${pg.escapeIdentifier(database)} with (force)`);
      await admin.dispose();
    };
    return mended(shadow);
  }
}

/** `schema-engine cli create-database | can-connect-to-database`: the CLI reads the outcome from a log line on stderr. */
async function runDatabaseCommand(command, url) {
  const parts = connectionParts(url);
  const creating = command === 'create-database';
  const client = new pg.Client(creating ? { ...parts, database: 'postgres' } : parts);
  try {
    await client.connect();
    if (creating) await client.query(`create database ${pg.escapeIdentifier(parts.database)}`);
    await client.end();
    return 0;
  } catch (error) {
    const fields = { message: error.message, is_panic: false, error_code: error.code === '3D000' ? 'P1003' : 'P1001' };
    const line = { timestamp: new Date().toISOString(), level: 'ERROR', fields, target: 'schema_engine::logger' };
    process.stderr.write(`${JSON.stringify(line)}\n`);
    return 1;
  }
}

async function loadEngine(schemaFiles, url) {
  const folder = dirname(createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm'));
  const bindings = await import(pathToFileURL(join(folder, 'schema_engine_bg.js')).href);
  const wasm = readFileSync(join(folder, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return bindings.SchemaEngine.new(
    { datamodels: schemaFiles.length > 0 ? schemaFiles.map((file) => [file, readFileSync(file, 'utf8')]) : undefined },
    () => undefined, // the engine's own log
    bindMigrationAwareSqlAdapterFactory(new MigrationAdapterFactory(connectionParts(url))),
  );
}

const write = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);

/** Answers the CLI's requests until it closes our stdin. */
async function serve(schemaFiles, url) {
  let engine; // made by the first request that needs it: the CLI starts us for `generate` too, and asks nothing
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (!method) continue; // the CLI's acknowledgement of a `print`
    try {
      engine ??= await loadEngine(schemaFiles, url);
      const result = method === 'getDatabaseVersion' ? await engine.version(params) : await engine[method](params);
      if (method === 'diff' && result?.stdout) write({ id: `print-${id}`, method: 'print', params: { content: result.stdout } });
      write({ id, result: result ?? {} });
    } catch (error) {
      const data = { is_panic: false, message: error.message, error_code: error.code, meta: error.meta ?? null };
      write({ id, error: { code: 4466, message: 'An error happened. Check the data field for details.', data } });
    }
  }
}

const { values: options, positionals } = parseArgs({
  strict: false,
  allowPositionals: true,
  options: {
    version: { type: 'boolean' },
    datasource: { type: 'string' },
    datamodels: { type: 'string', multiple: true },
  },
});
const url = options.datasource ? JSON.parse(options.datasource).url : 'postgresql://localhost/unused';
if (options.version) {
  console.log('schema-engine-cli wasm');
} else if (positionals[0] === 'cli') {
  process.exitCode = await runDatabaseCommand(positionals[1], url);
} else {
  await serve(options.datamodels ?? [], url);
}
