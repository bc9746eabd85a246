import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Answer = Buffer | ((request: IncomingMessage, response: ServerResponse) => void);

/** An upstream whose files are made up by the test, and which counts how often each is asked for. */
export interface MemoryUpstream {
  /** Of the repository, without a slash at its end. */
  readonly url: string;
  /** By path below the repository: the bytes, or whoever answers. */
  readonly files: Map<string, Answer>;
  /** Requests for a path. */
  count(path: string): number;
  /** Connections that were made to it. */
  readonly connections: number;
  stop(): Promise<void>;
}

export async function startMemoryUpstream(): Promise<MemoryUpstream> {
  const files = new Map<string, Answer>();
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url as string).slice('/repo/'.length));
    counts.set(path, (counts.get(path) ?? 0) + 1);
    const answer = files.get(path);
    if (answer === undefined) response.writeHead(404).end();
    else if (typeof answer === 'function') answer(request, response);
    else response.writeHead(200, { 'content-length': answer.length }).end(answer);
  });
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/repo`,
    files,
    count: (path) => counts.get(path) ?? 0,
    get connections() {
      return connections;
    },
    stop: () =>
      new Promise((stopped) => {
        server.close(() => stopped());
        server.closeAllConnections();
      }),
  };
}
