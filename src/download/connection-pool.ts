import { Connection, type ConnectionOptions } from './connection.ts';

/** An idle connection is closed after this time: less than the 5 s that Node's and many other servers keep one. */
const IDLE_MS = 4000;

/** Kept connections of a thread, by upstream and origin. */
export class ConnectionPool {
  readonly #idle = new Map<string, Connection[]>();

  /** An idle connection to the URL's origin, or a new one. */
  take(upstream: string, url: URL, options: ConnectionOptions): Connection {
    const idle = this.#idle.get(`${upstream} ${url.origin}`);
    for (let connection = idle?.pop(); connection; connection = idle?.pop()) {
      if (connection.reusable) return connection;
    }
    return new Connection(url, options);
  }

  /** Takes back a connection whose answer was read to its end; keeps it if it can be used again. */
  give(upstream: string, connection: Connection): void {
    if (!connection.reusable) return;
    const key = `${upstream} ${connection.origin}`;
    const idle = this.#idle.get(key) ?? [];
    this.#idle.set(key, idle);
    idle.push(connection);
    connection.onClose = () => {
      const at = idle.indexOf(connection);
      if (at !== -1) idle.splice(at, 1);
      if (idle.length === 0 && this.#idle.get(key) === idle) this.#idle.delete(key);
    };
    connection.idle(IDLE_MS);
  }
}
