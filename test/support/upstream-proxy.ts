import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A running forward proxy. */
export interface Proxy {
  /** `http://127.0.0.1:<port>`, without credentials. */
  readonly url: string;
  /** Tunnels opened by CONNECT. */
  readonly tunnels: number;
  /** Requests forwarded as absolute URLs. */
  readonly forwarded: number;
  /** Requests and CONNECTs refused for missing or wrong credentials. */
  readonly refused: number;
  /** `host:port` or URL of each request let through, in order. */
  readonly targets: readonly string[];
  stop(): Promise<void>;
}

/** Starts an HTTP proxy (CONNECT and absolute URLs) on a free port; with a user name it demands Basic credentials. */
export async function startProxy(options: { username?: string; password?: string } = {}): Promise<Proxy> {
  const seen = { tunnels: 0, forwarded: 0, refused: 0, targets: [] as string[] };
  const sockets = new Set<Duplex>();
  const expected = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString('base64')}`;
  const mayPass = (request: IncomingMessage) => {
    if (options.username === undefined || request.headers['proxy-authorization'] === expected) return true;
    seen.refused += 1;
    return false;
  };
  const server = createServer((request, response) => {
    if (!mayPass(request)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="proxy"', 'content-length': 0 }).end();
      return;
    }
    seen.forwarded += 1;
    seen.targets.push(request.url ?? '');
    forward(request, response);
  });
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    if (!mayPass(request)) {
      client.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    }
    seen.tunnels += 1;
    seen.targets.push(request.url ?? '');
    tunnel(request.url ?? '', client, head, sockets);
  });
  server.on('connection', (socket: Socket) => track(socket, sockets));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    get tunnels() {
      return seen.tunnels;
    },
    get forwarded() {
      return seen.forwarded;
    },
    get refused() {
      return seen.refused;
    },
    targets: seen.targets,
    stop: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const { 'proxy-authorization': _secret, 'proxy-connection': _hop, ...headers } = request.headers;
  const onward = httpRequest(request.url ?? '', { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  onward.on('error', () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502, { 'content-length': 0 }).end();
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

function tunnel(authority: string, client: Duplex, head: Buffer, sockets: Set<Duplex>): void {
  const { hostname, port } = new URL(`http://${authority}`);
  const upstream = connect(Number(port || 80), hostname);
  track(upstream, sockets);
  upstream.once('connect', () => {
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    upstream.write(head);
    client.pipe(upstream).pipe(client);
  });
  upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
  client.on('error', () => upstream.destroy());
  client.on('close', () => upstream.destroy());
}

function track(socket: Duplex, sockets: Set<Duplex>): void {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
}
