import { Agent, request as httpRequest } from 'node:http';

/** What a load run did. */
export interface LoadResult {
  requests: number;
  seconds: number;
  requestsPerSecond: number;
  /** Milliseconds. */
  medianLatency: number;
  p99Latency: number;
}

/** A request to repeat. */
export interface LoadRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  /** Makes the body of the next request. */
  body?: () => string;
  status: number;
}

/** Bounds of a load run; it ends at whichever comes first, once each client had one answer. */
export interface LoadBounds {
  clients: number;
  seconds: number;
  requests: number;
}

/**
 * Sends the same request from `clients` keep-alive connections to a server on this machine, each as fast as it answers.
 * Throws at the first answer with another status than expected.
 */
export async function generateLoad(what: LoadRequest, bounds: LoadBounds): Promise<LoadResult> {
  const target = new URL(what.url);
  if (!['127.0.0.1', 'localhost', '[::1]'].includes(target.hostname))
    throw new Error(`Load goes to this machine only, not to ${target.hostname}`);
  const agent = new Agent({ keepAlive: true, maxSockets: bounds.clients });
  const latencies: number[] = [];
  const started = performance.now();
  const deadline = started + bounds.seconds * 1000;
  let sent = 0;
  const client = async () => {
    do {
      sent += 1;
      const before = performance.now();
      await send(what, target, agent);
      latencies.push(performance.now() - before);
    } while (performance.now() < deadline && sent < bounds.requests);
  };
  try {
    await Promise.all(Array.from({ length: bounds.clients }, client));
  } finally {
    agent.destroy();
  }
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
  return {
    requests: latencies.length,
    seconds,
    requestsPerSecond: latencies.length / seconds,
    medianLatency: at(0.5),
    p99Latency: at(0.99),
  };
}

function send(what: LoadRequest, target: URL, agent: Agent): Promise<void> {
  const body = what.body?.();
  const headers =
    body === undefined
      ? what.headers
      : { ...what.headers, 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const request = httpRequest(target, { method: what.method, agent, headers }, (response) => {
      const wrong = response.statusCode !== what.status;
      let text = '';
      response.on('data', (chunk: Buffer) => {
        if (wrong) text += chunk.toString();
      });
      response.on('error', reject);
      response.on('end', () => {
        if (wrong)
          reject(new Error(`${what.method} ${what.url} was answered with ${response.statusCode}: ${text.slice(0, 300)}`));
        else resolve();
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}
