import type { Logger } from 'pino';
import { inGroups } from '../lib/in-groups.ts';
import { type Reader, readTogether } from '../lib/read-together.ts';
import type { Listener } from './listener.ts';

/** A claim of this process. */
export interface Claim {
  readonly mine: true;
  /** Whether somebody else has asked for it. */
  readonly wanted: boolean;
  /** Tells something to those who wait for its end, and to those who will. */
  tell(news: string): void;
  /** Ends it; those who wait hear `news`. */
  release(news?: string): Promise<void>;
}

/** A claim of somebody else. Both promises are resolved without a word where its holder ends without one; neither rejects. */
export interface ForeignClaim {
  readonly mine: false;
  /** What its holder has told; undefined where it ends before he does. */
  readonly told: Promise<string | undefined>;
  /** Its end, with what the holder said then: whoever wants to claim it may try. */
  readonly over: Promise<string | undefined>;
}

const CHANNEL = 'deckle_claim';
/** How often is looked whether the holder is still there: one that is killed says nothing. */
const LOOK_MS = 1_000;
/** So often is a holder asked in vain. One that hangs, or whose machine stands still, keeps its lock and answers nothing. */
const PATIENCE = 15;
/** PostgreSQL keeps all locks of everybody in one table of a fixed size, which has room for some thousands. */
const MAX_HELD = 500;
const MAX_GROUP = 500;
/** PostgreSQL takes payloads of less than 8,000 bytes. */
const MAX_PAYLOAD_BYTES = 7_999;

const LOCK = 'hashtextextended(key, 0)';
const TAKE = `select key, pg_try_advisory_lock(${LOCK}) as taken from unnest($1::text[]) as key`;
const IS_FREE = `select case when pg_try_advisory_lock(${LOCK}) then pg_advisory_unlock(${LOCK}) else false end as free
  from (select $1::text as key) as looked_for`;
const RELEASE = `select pg_advisory_unlock(${LOCK}), pg_notify('${CHANNEL}', message)
  from unnest($1::text[], $2::text[]) as released (key, message)`;

interface Message {
  /** `ask`: of one who waits. The holder answers `told`, with what he has told, if anything: that he is there is an answer, too. */
  readonly type: 'ask' | 'told' | 'over';
  readonly key: string;
  readonly news?: string | undefined;
}

function payloadOf(message: Message): string {
  const payload = JSON.stringify(message);
  if (Buffer.byteLength(payload) <= MAX_PAYLOAD_BYTES) return payload;
  return JSON.stringify({ type: message.type, key: message.key } satisfies Message);
}

/** One who waits for the end of a claim that somebody else has. */
class Waiting implements ForeignClaim {
  readonly mine = false;
  /** Times that the holder was asked since he was last heard. */
  unanswered = 0;
  readonly told: Promise<string | undefined>;
  readonly over: Promise<string | undefined>;
  tell: (news: string | undefined) => void = () => undefined;
  end: (news: string | undefined) => void = () => undefined;

  constructor() {
    this.over = new Promise((resolve) => {
      this.end = resolve;
    });
    const told = new Promise<string | undefined>((resolve) => {
      this.tell = resolve;
    });
    this.told = Promise.race([told, this.over.then(() => undefined)]);
  }
}

/** What the holder knows of his claim. */
interface Held {
  news: string | undefined;
  wanted: boolean;
}

/**
 * What one process does for all that share the database: a claim is an advisory lock of the connection on which the process listens, so
 * it takes no connection from the pool, and ends with a process that is killed. What its holder tells the others goes by NOTIFY.
 * Claims save work and are not needed to be right: while the connection is away, or very many are held, each process has its own.
 * See docs/adr/024-one-fetch-for-all-processes.md.
 */
export class Claims {
  readonly #listener: Pick<Listener, 'listen' | 'say'>;
  readonly #log: Logger;
  readonly #held = new Map<string, Held>();
  readonly #waiting = new Map<string, Set<Waiting>>();
  /** Whose holders have not been heard for long: nobody waits for them. */
  readonly #silent = new Set<string>();
  readonly #take: Reader<string, boolean>;
  readonly #release = inGroups<Message>((messages) => this.#releaseAll(messages), MAX_GROUP);
  #listening: Promise<unknown> | undefined;

  constructor(listener: Pick<Listener, 'listen' | 'say'>, log: Logger) {
    this.#listener = listener;
    this.#log = log;
    this.#take = readTogether((keys) => this.#takeAll(keys));
  }

  /** Claims `key`, where nobody else has it. A foreign claim is over when `signal` aborts, too. */
  async claim(key: string, signal: AbortSignal): Promise<Claim | ForeignClaim> {
    this.#listening ??= this.#listener.listen(
      CHANNEL,
      (payload) => this.#hear(payload),
      () => this.#endAll(),
    );
    await this.#listening;
    // Begun before the lock is asked for: its holder may let go at any time.
    const waiting = this.#wait(key);
    if (!this.#held.has(key)) {
      const held: Held = { news: undefined, wanted: false };
      const shared = this.#held.size < MAX_HELD;
      if (shared) this.#held.set(key, held);
      const taken = !shared || (await this.#take(key)) !== false;
      if (!taken) this.#held.delete(key);
      if (taken || this.#silent.has(key)) {
        if (taken) this.#silent.delete(key);
        this.#leave(key, waiting);
        return this.#claimed(key, held);
      }
    }
    this.#await(key, waiting, signal);
    return waiting;
  }

  #claimed(key: string, held: Held): Claim {
    const isHeld = () => this.#held.get(key) === held;
    return {
      mine: true,
      get wanted() {
        return held.wanted;
      },
      tell: (news) => {
        held.news = news;
        if (isHeld()) void this.#notify({ type: 'told', key, news });
      },
      release: async (news) => {
        if (!isHeld()) return;
        this.#held.delete(key);
        await this.#release({ type: 'over', key, news });
      },
    };
  }

  #wait(key: string): Waiting {
    const waiting = new Waiting();
    this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(waiting));
    return waiting;
  }

  #leave(key: string, waiting: Waiting): void {
    const all = this.#waiting.get(key);
    all?.delete(waiting);
    if (all?.size === 0) this.#waiting.delete(key);
  }

  /** Asks what the holder has told, and looks for him until the end. */
  #await(key: string, waiting: Waiting, signal: AbortSignal): void {
    const looking = setInterval(() => void this.#look(key, waiting), LOOK_MS);
    const end = () => waiting.end(undefined);
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
    void waiting.over.then(() => {
      clearInterval(looking);
      signal.removeEventListener('abort', end);
      this.#leave(key, waiting);
    });
    void this.#notify({ type: 'ask', key });
  }

  async #look(key: string, waiting: Waiting): Promise<void> {
    // Locks of one connection do not exclude each other.
    if (this.#held.has(key)) return;
    const result = await this.#listener.say(IS_FREE, [key]);
    if (!result || result.rows[0]?.free) return waiting.end(undefined);
    if (waiting.unanswered === PATIENCE) {
      if (!this.#silent.has(key))
        this.#log.warn({ claim: key }, 'the process that does this for all has not answered for long; it is done here, too');
      this.#silent.add(key);
      return waiting.end(undefined);
    }
    waiting.unanswered += 1;
    await this.#notify({ type: 'ask', key });
  }

  #hear(payload: string): void {
    const { type, key, news } = JSON.parse(payload) as Message;
    if (type === 'ask') {
      const held = this.#held.get(key);
      if (!held) return;
      held.wanted = true;
      void this.#notify({ type: 'told', key, news: held.news });
      return;
    }
    this.#silent.delete(key);
    for (const waiting of this.#waiting.get(key) ?? []) {
      waiting.unanswered = 0;
      if (type === 'over') waiting.end(news);
      else if (news !== undefined) waiting.tell(news);
    }
  }

  /** Messages may have been missed. */
  #endAll(): void {
    this.#silent.clear();
    for (const all of this.#waiting.values()) for (const waiting of all) waiting.end(undefined);
  }

  async #takeAll(keys: readonly string[]): Promise<ReadonlyMap<string, boolean>> {
    const result = await this.#listener.say(TAKE, [keys]);
    return new Map(result?.rows.map(({ key, taken }: { key: string; taken: boolean }) => [key, taken]));
  }

  async #releaseAll(messages: readonly Message[]): Promise<void> {
    await this.#listener.say(RELEASE, [messages.map(({ key }) => key), messages.map(payloadOf)]);
  }

  async #notify(message: Message): Promise<void> {
    await this.#listener.say(`select pg_notify('${CHANNEL}', $1)`, [payloadOf(message)]);
  }
}
