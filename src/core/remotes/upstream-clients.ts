import type { UpstreamStream } from '../../download/upstream.ts';
import type { Services } from '../../kit/services.ts';

/** Speaks a protocol with one remote's upstream. */
interface UpstreamClient {
  close(): Promise<void>;
}

/** Milliseconds. */
export interface ClientTimes {
  /** How long a client that nobody uses is kept: the next file of a pull comes soon. */
  readonly idle: number;
  /** How long a client is given to new fetches: then one is opened that sees the remote as it is. */
  readonly age: number;
}

const TIMES: ClientTimes = { idle: 5_000, age: 60_000 };

interface Held<Client> {
  readonly remoteId: string;
  readonly client: Promise<Client>;
  readonly openedAt: number;
  users: number;
  /** Ends it when nobody has come back. */
  timer: NodeJS.Timeout | undefined;
}

/** Clients of remotes, kept open while files are fetched one after the other: they share connections and upstream token. */
export class UpstreamClients<Client extends UpstreamClient> {
  readonly #open: (remoteId: string) => Promise<Client>;
  readonly #log: Services['log'];
  readonly #times: ClientTimes;
  /** By remote: what new fetches are given. */
  readonly #current = new Map<string, Held<Client>>();
  /** All that are open. */
  readonly #held = new Set<Held<Client>>();

  constructor(open: (remoteId: string) => Promise<Client>, log: Services['log'], times = TIMES) {
    this.#open = open;
    this.#log = log;
    this.#times = times;
  }

  /**
   * Begins a stream from the remote. Its client is held until the body is closed. Throws what `open` and `begin` throw; the next
   * stream is then begun by a new client, since the remote may have been mended.
   */
  async stream(remoteId: string, begin: (client: Client) => Promise<UpstreamStream>): Promise<UpstreamStream> {
    const held = this.#take(remoteId);
    try {
      const stream = await begin(await held.client);
      stream.body.once('close', () => this.#release(held));
      return stream;
    } catch (error) {
      this.#retire(held);
      this.#release(held);
      throw error;
    }
  }

  async close(): Promise<void> {
    const held = [...this.#held];
    this.#held.clear();
    this.#current.clear();
    for (const { timer } of held) clearTimeout(timer);
    await Promise.allSettled(held.map(async ({ client }) => (await client).close()));
  }

  #take(remoteId: string): Held<Client> {
    const known = this.#current.get(remoteId);
    const isFresh = known !== undefined && performance.now() - known.openedAt < this.#times.age;
    const held = isFresh ? known : this.#begin(remoteId);
    if (known && known !== held && known.users === 0) this.#end(known);
    clearTimeout(held.timer);
    held.users += 1;
    return held;
  }

  #begin(remoteId: string): Held<Client> {
    const held: Held<Client> = {
      remoteId,
      client: this.#open(remoteId),
      openedAt: performance.now(),
      users: 0,
      timer: undefined,
    };
    this.#current.set(remoteId, held);
    this.#held.add(held);
    return held;
  }

  /** New fetches are given another one. */
  #retire(held: Held<Client>): void {
    if (this.#current.get(held.remoteId) === held) this.#current.delete(held.remoteId);
  }

  #release(held: Held<Client>): void {
    held.users -= 1;
    if (held.users > 0) return;
    if (this.#current.get(held.remoteId) === held) held.timer = setTimeout(() => this.#end(held), this.#times.idle).unref();
    else this.#end(held);
  }

  #end(held: Held<Client>): void {
    clearTimeout(held.timer);
    this.#retire(held);
    if (!this.#held.delete(held)) return;
    held.client
      .then((client) => client.close())
      .catch((error: unknown) => this.#log.debug({ err: error, remote_id: held.remoteId }, 'upstream not closed'));
  }
}
