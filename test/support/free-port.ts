import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/*
 * Below the ports that Linux gives to outgoing connections, of which the tests make thousands: one that was free a moment ago would be
 * taken again before somebody listens at it.
 */
const FIRST = 10_240;
const END = 24_000;

const given = new Set<number>();

/** A port of 127.0.0.1 that is free, and was not given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}
