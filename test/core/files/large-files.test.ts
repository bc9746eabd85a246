import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { after, before, it } from 'node:test';
import { OstreeRows } from '../../ostree/serve/ostree-rows.ts';
import { eventually } from '../../queue/eventually.ts';
import { startApp, type TestApp } from '../../support/app.ts';
import { type ServerBeside, startServerBeside } from '../../support/server-beside.ts';

/* Large files, as clients of one server process get them which read slowly, ask again on one connection, or go away. */

const FILES = ['one', 'two', 'three'].map((name) => ({ name, bytes: randomBytes(12_000_000) }));
type File = (typeof FILES)[number];

let app: TestApp;
let server: ServerBeside;
before(async () => {
  app = await startApp({ worker: false });
  const rows = new OstreeRows(app.services);
  const repository = await rows.repository();
  await rows.publish(
    repository,
    FILES.map(({ name, bytes }) => ({ path: `deltas/${name}`, bytes })),
  );
  await rows.distribution('os', { repository_id: repository });
  server = await startServerBeside(app);
});
after(async () => {
  await server?.kill();
  await app?.stop();
});

/** The answer to a GET, of which nothing has been read. */
async function get({ name }: File, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  const asked = request(`${server.url}/pulp/content/os/deltas/${name}`, { agent: false, headers });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return answer;
}

const rest = async (answer: IncomingMessage): Promise<Buffer> => Buffer.concat(await answer.toArray());

async function whole(file: File): Promise<void> {
  const bytes = await rest(await get(file));
  assert.ok(bytes.equals(file.bytes), `all of ${file.name}`);
}

/** Reads some of it and goes away; what has come has to be of the file. */
async function beginning(file: File, wanted: number): Promise<void> {
  const answer = await get(file);
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    assert.ok(chunk.equals(file.bytes.subarray(size, size + chunk.length)), `the beginning of ${file.name}`);
    size += chunk.length;
    if (size >= wanted) break;
  }
  answer.destroy();
}

/** The stored files that the server has open. */
function openFiles(): string[] {
  const folder = `/proc/${server.process.pid}/fd`;
  return readdirSync(folder)
    .map((fd) => linkAt(`${folder}/${fd}`))
    .filter((path) => path.includes('/media/artifact/'));
}

/** Where a descriptor leads; nowhere if it has been closed meanwhile. */
function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

const file = (number: number): File => FILES[number % FILES.length] as File;

it('come whole to who does not read for a while', async () => {
  const slow = await Promise.all(FILES.map((one) => get(one)));
  await Promise.all(FILES.map(whole));
  for (const [number, answer] of slow.entries()) assert.ok((await rest(answer)).equals(file(number).bytes));
});

it('come in ranges, of whatever length', async () => {
  const { bytes } = file(0);
  const sizes = [1, 16_384, 262_143, 262_144, 278_528, 1_048_576, 1_048_577, 5_000_001];
  for (const [number, size] of sizes.entries()) {
    const start = number * 7_919;
    const answer = await get(file(0), { range: `bytes=${start}-${start + size - 1}` });
    assert.equal(answer.statusCode, 206);
    assert.ok((await rest(answer)).equals(bytes.subarray(start, start + size)), `${size} bytes`);
  }
});

it('come one after the other on one connection', async () => {
  for (const number of [0, 1, 2, 0]) {
    const response = await fetch(`${server.url}/pulp/content/os/deltas/${file(number).name}`);
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(file(number).bytes));
  }
});

it('are never mixed up with each other where clients go away and others come', async () => {
  for (let round = 0; round < 8; round += 1) {
    const leaving = Array.from({ length: 12 }, (_, number) => beginning(file(number), (number + 1) * 200_000));
    const staying = Array.from({ length: 6 }, (_, number) => whole(file(number + round)));
    await Promise.all([...leaving, ...staying]);
  }
  await eventually('the files are closed, whoever has gone away', () => openFiles().length === 0);
});
