import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { API, openWorld } from '../core/access/world.ts';

/** The program of schemathesis on PATH. */
export const SCHEMATHESIS = 'st';

const CHECKS = ['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_schema_conformance'];
/** What would lock out the administrator who asks: his name and password are changed here. Tried by hostile-fields.test.ts. */
const LEFT_OUT = ['login_update'];
/** A client's mistakes. Not 401 and 429: who asks is logged in, and stays so. */
const REFUSALS = [400, 403, 404, 405, 406, 409, 413, 415];
const REQUEST_SECONDS = 20;
/** Of an operation; there are rounds until the time is over. */
const CASES_A_ROUND = 4;

type Json = { [key: string]: unknown };
interface Described extends Json {
  parameters: { in: string; name: string; schema: Json }[];
  responses: Json;
}
interface Document extends Json {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Json> };
}

const texts = { type: 'array', minItems: 1, items: { type: 'string' } };
const messages = { anyOf: [texts, { type: 'object', additionalProperties: { anyOf: [texts, { type: 'object' }] } }] };
/** The recorded shapes of errors (spec: core, errors). */
const ERROR = {
  anyOf: [
    { type: 'object', required: ['detail'], maxProperties: 1, properties: { detail: { type: 'string' } } },
    texts,
    { type: 'object', minProperties: 1, additionalProperties: messages },
  ],
};
const refusal = { description: '', content: { 'application/json': { schema: ERROR } } };

/** The schema, and below it, changed by `change`. */
function everySchema(schema: unknown, change: (schema: Json) => Json): unknown {
  if (Array.isArray(schema)) return schema.map((one) => everySchema(one, change));
  if (typeof schema !== 'object' || schema === null) return schema;
  return change(Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, everySchema(value, change)])));
}

/**
 * The server's document with what it does not say: what is there, by paths and in bodies, and what errors look like. Answers may
 * lack any field, as `fields` says; the contract calls hrefs URIs, which they are not, and does not say which answers may be null.
 */
function filledIn(document: Document, fixtures: ReadonlyMap<string, string>): Document {
  const oneOf = (values: readonly unknown[], otherwise: Json): Json => ({ anyOf: [{ enum: values }, otherwise] });
  const idOf = (path: string): readonly string[] => {
    const href = fixtures.get(path.split('{')[0] as string);
    return href === undefined ? [] : [href.split('/').at(-2) as string];
  };
  const answers = ({ required, format, ...schema }: Json): Json => ({
    ...schema,
    // Only the list of names goes: a field may be called `required` or `format` too.
    ...(required !== undefined && !Array.isArray(required) ? { required } : {}),
    ...(format !== undefined && format !== 'uri' && format !== 'email' ? { format } : {}),
    ...(typeof schema.type === 'string' ? { type: [schema.type, 'null'] } : {}),
  });
  const hrefs = [...fixtures.values()];
  const requests = (schema: Json): Json =>
    schema.format === 'uri' ? oneOf([...hrefs, ...(Array.isArray(schema.type) ? [null] : [])], { type: schema.type }) : schema;
  const paths = Object.entries(document.paths).map(([path, item]) => {
    const ids = idOf(path);
    const operations = Object.entries(item).map(([method, operation]) => {
      const parameters = operation.parameters.map((parameter) => {
        if (parameter.in !== 'path') return parameter;
        const values = parameter.name === 'number' ? ['0'] : ids;
        return values.length > 0 ? { ...parameter, schema: oneOf(values, parameter.schema) } : parameter;
      });
      const refusals = REFUSALS.filter((status) => !operation.responses[status]).map((status) => [status, refusal]);
      const responses = { ...operation.responses, ...Object.fromEntries(refusals) };
      return [method, { ...operation, parameters, responses }];
    });
    return [path, Object.fromEntries(operations)];
  });
  const schemas = Object.entries(document.components.schemas).map(([name, schema]) => [
    name,
    everySchema(schema, /Response(List)?$/.test(name) ? answers : requests),
  ]);
  return {
    ...document,
    paths: Object.fromEntries(paths),
    components: { ...document.components, schemas: Object.fromEntries(schemas) },
  };
}

export interface Found {
  readonly seed: number;
  /** Whether every answer was as documented. */
  readonly clean: boolean;
  /** What schemathesis says. */
  readonly report: string;
}

function run(folder: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(SCHEMATHESIS, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** Runs schemathesis for each seed so many seconds against a server of its own that has one of everything. */
export async function fuzzApi(
  seeds: readonly number[],
  seconds: number,
  done: (found: Found) => void = () => undefined,
): Promise<Found[]> {
  const { app, fixtures } = await openWorld(['victim']);
  const folder = await mkdtemp(join(tmpdir(), 'deckle-schemathesis-'));
  try {
    const { body: users } = await app.request('GET', `${API}users/?username=victim`);
    const { body } = await app.request('GET', `${API}docs/api.json?pk_path=1`);
    const members = new Map([...fixtures, [`${API}users/`, users.results[0].pulp_href as string]]);
    const document = filledIn(body as Document, members);
    const paths = Object.entries(document.paths);
    const all: Found[] = [];
    for (const [index, seed] of seeds.entries()) {
      // Where the time does not suffice for every operation, the next seed begins with others.
      const first = Math.floor((paths.length * index) / seeds.length);
      const turned = { ...document, paths: Object.fromEntries([...paths.slice(first), ...paths.slice(0, first)]) };
      await writeFile(join(folder, 'openapi.json'), JSON.stringify(turned));
      const { code, output } = await run(folder, [
        'run',
        'openapi.json',
        ...['--url', app.url, '--auth', 'admin:password', '--seed', String(seed), '--max-time', String(seconds)],
        ...[
          '--phases',
          'fuzzing',
          '--max-examples',
          String(CASES_A_ROUND),
          '--checks',
          CHECKS.join(','),
          '--request-timeout',
          String(REQUEST_SECONDS),
        ],
        ...LEFT_OUT.flatMap((operation) => ['--exclude-operation-id', operation]),
        ...['--generation-database', 'none', '--continue-on-failure', '--warnings', 'off', '--no-color'],
      ]);
      const found = { seed, clean: code === 0, report: output };
      done(found);
      all.push(found);
    }
    return all;
  } finally {
    await rm(folder, { recursive: true, force: true });
    await app.stop();
  }
}
