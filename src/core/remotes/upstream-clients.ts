import type { UpstreamStream } from '../../download/upstream.ts';
import type { Services } from '../../kit/services.ts';

/** Speaks a protocol with one remote's upstream. */
interface UpstreamClient {
  close(): Promise<void>;
}

interface Held<Client> {
  readonly client: Promise<Client>;
  users: number;
}

/** Clients of remotes, open for as long as something is fetched: fetches that run at once share connections and upstream token. */
export class UpstreamClients<Client extends UpstreamClient> {
  readonly #open: (remoteId: string) => Promise<Client>;
  readonly #log: Services['log'];
  readonly #held = new Map<string, Held<Client>>();

  constructor(open: (remoteId: string) => Promise<Client>, log: Services['log']) {
    this.#open = open;
    this.#log = log;
  }

  /** Begins a stream from the remote. Its client is held until the body is closed. Throws what `open` and `begin` throw. */
  async stream(remoteId: string, begin: (client: Client) => Promise<UpstreamStream>): Promise<UpstreamStream> {
    const held = this.#take(remoteId);
    try {
      const stream = await begin(await held.client);
      stream.body.once('close', () => this.#release(remoteId, held));
      return stream;
    } catch (error) {
      this.#release(remoteId, held);
      throw error;
    }
  }

  async close(): Promise<void> {
    const held = [...this.#held.values()];
    this.#held.clear();
    await Promise.allSettled(held.map(async ({ client }) => (await client).close()));
  }

  #take(remoteId: string): Held<Client> {
    const known = this.#held.get(remoteId);
    const held = known ?? { client: this.#open(remoteId), users: 0 };
    held.users += 1;
    this.#held.set(remoteId, held);
    return held;
  }

  /** The last one closes it: the next fetch sees the remote as it is then. */
  #release(remoteId: string, held: Held<Client>): void {
    held.users -= 1;
    if (held.users > 0 || this.#held.get(remoteId) !== held) return;
    this.#held.delete(remoteId);
    held.client
      .then((client) => client.close())
      .catch((error: unknown) => this.#log.debug({ err: error, remote_id: remoteId }, 'upstream not closed'));
  }
}
