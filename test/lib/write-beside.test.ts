import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, it } from 'node:test';
import { writeBeside } from '../../src/lib/write-beside.ts';

let server: Server;
before(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => void server?.close());

/** Both ends of a connection: ours, and that of a client. */
async function connection(): Promise<{ readonly ours: Socket; readonly client: Socket }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[ours]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [[Socket], unknown];
  ours.on('error', () => undefined);
  client.on('error', () => undefined);
  return { ours, client };
}

/** Resolves when the socket is closed, be it by an error. */
const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));

const BYTES = randomBytes(32_000_000);

it('answers how many of the bytes are on their way, none where there is no room', async () => {
  const { ours, client } = await connection();
  let written = 0;
  for (let more = -1; more !== 0; written += more) more = await writeBeside(ours, BYTES.subarray(written));
  assert.ok(written > 0 && written < BYTES.length, `${written} of more than the kernel takes`);
  ours.end();
  const got = Buffer.concat(await client.toArray());
  assert.ok(got.equals(BYTES.subarray(0, written)));
});

it('writes nothing before what waits to be written, nor to a connection that is closed', async () => {
  const { ours, client } = await connection();
  ours.write(BYTES);
  assert.equal(await writeBeside(ours, BYTES), 0);
  client.destroy();
  await closed(ours);
  assert.equal(await writeBeside(ours, BYTES), 0);
});

it('answers 0 where the client is gone', async () => {
  const { ours, client } = await connection();
  client.resetAndDestroy();
  await closed(client);
  assert.equal(await writeBeside(ours, BYTES), 0);
  ours.destroy();
});

it('keeps the connection of a socket that is destroyed until the bytes are written', async () => {
  const { ours, client } = await connection();
  const writing = writeBeside(ours, BYTES);
  ours.destroy();
  const end = closed(ours);
  const written = await writing;
  assert.ok(written > 0);
  await end;
  let got = 0;
  client.on('data', (chunk: Buffer) => {
    assert.ok(chunk.equals(BYTES.subarray(got, got + chunk.length)));
    got += chunk.length;
  });
  await closed(client);
  assert.equal(got, written);
});
