import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { statementName } from './statement-name.ts';

/** For how long after a sign of life of the connection what is kept in memory may be answered. Others wait as long for a process that is silent. */
const LEASE_MS = 2_000;
const PULSE_MS = 500;
const STATEMENT_MS = 5_000;
const RETRY_MS = 500;
/** Beyond the lease: clocks of two machines do not run alike. */
const PATIENCE_MS = LEASE_MS + 100;
/** How often a process that does not answer is looked for: it may have ended. */
const LOOK_MS = 100;

/** Asks who listens whether he has handled what came before; the payload is `<who asks> <number>`. */
const ASK_CHANNEL = 'deckle_ask';
/** Where one process is answered; the payload is `<number> <who answers>`. */
const answerChannel = (id: string): string => `deckle_answer_${id}`;
/** Names of the connections of those who have to be waited for. PostgreSQL lists them, and none whose process has ended. */
const NAME = 'deckle listener ';

const LISTENERS = `select array(select substr(application_name, ${NAME.length + 1}) from pg_stat_activity
  where datname = current_database() and starts_with(application_name, '${NAME}')) as ids`;

type Values = readonly (string | readonly string[])[];

/** Who hears a channel. `onGap` is called when something may have been missed. */
interface Hearer {
  readonly handler: (payload: string) => void;
  readonly onGap: () => void;
}

/** A question that has not been answered by all. */
interface Question {
  readonly number: string;
  readonly answered: Set<string>;
  /** Looks whether all have answered. */
  check(): void;
}

export interface ListenerOptions {
  readonly log: Logger;
  /** Whether others wait for this process to have seen their changes. */
  readonly awaited: boolean;
}

/**
 * The connection on which a process hears of changes (NOTIFY), one for all channels: what is sent arrives in the order of the commits.
 *
 * What it hears of may be kept in memory, for `upToDate` is a lease: it holds for two seconds from the last question that PostgreSQL has
 * answered here, and with each answer everything that was committed before the question has been heard. Who has changed something
 * therefore need not wait for longer than that, and no longer than it takes all others to say that they have heard.
 * See docs/adr/021-changes-are-seen-everywhere.md.
 */
export class Listener {
  readonly #id = randomUUID();
  readonly #answerChannel = answerChannel(this.#id);
  readonly #url: string;
  readonly #options: ListenerOptions;
  readonly #hearers = new Map<string, Set<Hearer>>();
  /** Those who have not answered in time. What they keep in memory has expired, so they are not waited for until they answer again. */
  readonly #silent = new Set<string>();
  #client: pg.Client | undefined;
  #opening: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** By `performance.now()`. */
  #leaseEnd = 0;
  /** The last statement. It never rejects. */
  #said: Promise<unknown> = Promise.resolve();
  #asked = 0;
  #question: Question | undefined;
  #asking: Promise<void> = Promise.resolve();
  #nextAsking: Promise<void> | undefined;

  constructor(url: string, options: ListenerOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** Whether everything has been heard that somebody else has waited for. */
  upToDate(): boolean {
    return performance.now() < this.#leaseEnd;
  }

  /** As `Database.listen`. */
  async listen(channel: string, handler: Hearer['handler'], onGap: Hearer['onGap']): Promise<() => Promise<void>> {
    const hearer = { handler, onGap };
    const hearers = this.#hearers.get(channel) ?? new Set();
    this.#hearers.set(channel, hearers.add(hearer));
    if (!this.#client) await this.#open();
    // Said again where that was at once what connecting has said: it may have been on its way already.
    if (this.#client) await this.#say(this.#client, `listen ${pg.escapeIdentifier(channel)}`);
    return async () => {
      hearers.delete(hearer);
      if (hearers.size > 0 || this.#hearers.get(channel) !== hearers) return;
      this.#hearers.delete(channel);
      if (this.#client) await this.#say(this.#client, `unlisten ${pg.escapeIdentifier(channel)}`);
    };
  }

  /** Runs a statement on this connection, after those before it. Undefined where the connection is away, or breaks. */
  async say(text: string, values: Values): Promise<pg.QueryResult | undefined> {
    if (!this.#client) await this.#open();
    return this.#client && this.#say(this.#client, text, values);
  }

  /** As `Database.seenEverywhere`. Those who come while a question is out share the next one. */
  seenEverywhere(): Promise<void> {
    if (!this.#nextAsking) {
      const next = this.#asking.then(() => {
        this.#nextAsking = undefined;
        return this.#ask();
      });
      this.#asking = next;
      this.#nextAsking = next;
    }
    return this.#nextAsking;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#opening;
    const client = this.#client;
    this.#client = undefined;
    this.#leaseEnd = 0;
    await client?.end();
  }

  /** Resolves when it is connected, or cannot be; then it is tried again. */
  #open(): Promise<void> {
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    clearTimeout(this.#retry);
    const client = new pg.Client({
      connectionString: this.#url,
      keepAlive: true,
      query_timeout: STATEMENT_MS,
      connectionTimeoutMillis: STATEMENT_MS,
      // Nothing is written on it, and a notification would wait for the disk like anything that is committed.
      options: '-c synchronous_commit=off',
      application_name: this.#options.awaited ? `${NAME}${this.#id}` : 'deckle',
    });
    client.on('notification', ({ channel, payload = '' }) => this.#hear(client, channel, payload));
    client.on('error', (error) => this.#lose(client, error));
    client.on('end', () => this.#lose(client));
    try {
      await client.connect();
      const began = performance.now();
      const channels = [ASK_CHANNEL, this.#answerChannel, ...this.#hearers.keys()];
      await client.query(channels.map((channel) => `listen ${pg.escapeIdentifier(channel)}`).join('; '));
      this.#client = client;
      this.#gap();
      this.#alive(client, began);
      this.#pulse(client);
    } catch (error) {
      this.#client = client;
      this.#lose(client, error as Error);
    }
  }

  #lose(client: pg.Client, error?: Error): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#leaseEnd = 0;
    this.#gap();
    client.end().catch(() => undefined);
    if (this.#closed) return;
    this.#options.log.warn({ err: error }, 'database notifications interrupted; reconnecting');
    this.#retry = setTimeout(() => void this.#open(), RETRY_MS);
  }

  #gap(): void {
    for (const hearers of this.#hearers.values()) for (const { onGap } of hearers) onGap();
  }

  #hear(client: pg.Client, channel: string, payload: string): void {
    for (const { handler } of this.#hearers.get(channel) ?? []) handler(payload);
    if (channel === ASK_CHANNEL && this.#options.awaited) {
      const [asker = '', number = ''] = payload.split(' ');
      if (asker !== this.#id) void this.#say(client, 'select pg_notify($1, $2)', [answerChannel(asker), `${number} ${this.#id}`]);
    } else if (channel === this.#answerChannel) {
      const [number, id = ''] = payload.split(' ');
      this.#silent.delete(id);
      if (this.#question?.number === number) this.#question?.answered.add(id);
      this.#question?.check();
    }
  }

  /** PostgreSQL has answered what was asked at `began`. */
  #alive(client: pg.Client, began: number): void {
    if (this.#client === client) this.#leaseEnd = began + LEASE_MS;
  }

  /** A connection that broke without a word would otherwise look like a quiet one. */
  #pulse(client: pg.Client): void {
    const timer = setInterval(() => {
      if (this.#client !== client) clearInterval(timer);
      else void this.#say(client, 'select 1');
    }, PULSE_MS);
    timer.unref();
  }

  /** Runs a statement, after those before it; a connection that cannot is given up. */
  #say(client: pg.Client, text: string, values: Values = []): Promise<pg.QueryResult | undefined> {
    const said = this.#said.then(() => this.#run(client, text, values));
    this.#said = said;
    return said;
  }

  async #run(client: pg.Client, text: string, values: Values): Promise<pg.QueryResult | undefined> {
    const began = performance.now();
    try {
      const result = await client.query({ name: statementName(text), text, values: [...values] });
      this.#alive(client, began);
      return result;
    } catch (error) {
      this.#lose(client, error as Error);
      return undefined;
    }
  }

  async #ask(): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    if (!this.#client) await this.#open();
    const asked = this.#client && (await this.#askAll(this.#client, end));
    // Nobody could be asked: when this time is over, what was kept before it has expired everywhere.
    if (!asked) await delay(Math.max(0, end - performance.now()));
  }

  /** Whether all have been asked, and have answered or are waited for no longer. */
  async #askAll(client: pg.Client, end: number): Promise<boolean> {
    this.#asked += 1;
    const answered = new Set<string>();
    const question: Question = { number: String(this.#asked), answered, check: () => undefined };
    this.#question = question;
    const payload = `${this.#id} ${question.number}`;
    const listed = await this.#say(client, `${LISTENERS}, pg_notify($1, $2)::text as told`, [ASK_CHANNEL, payload]);
    if (!listed) return false;
    let missing = this.#missing(listed, answered);
    while (missing.length > 0 && performance.now() < end) {
      await this.#answers(question, missing);
      missing = missing.filter((id) => !answered.has(id));
      if (missing.length === 0) return true;
      const left = await this.#say(client, LISTENERS);
      if (!left) return false;
      missing = this.#missing(left, answered);
    }
    if (missing.length > 0) this.#giveUp(missing);
    return true;
  }

  /** Those who are listed and have not answered. */
  #missing({ rows }: pg.QueryResult<{ ids: string[] }>, answered: ReadonlySet<string>): string[] {
    const ids = new Set(rows[0]?.ids);
    for (const id of this.#silent) if (!ids.has(id)) this.#silent.delete(id);
    return [...ids].filter((id) => id !== this.#id && !answered.has(id) && !this.#silent.has(id));
  }

  /** Resolves when all of them have answered, or it is time to look who is still there. */
  #answers(question: Question, ids: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS);
      question.check = () => {
        if (!ids.every((id) => question.answered.has(id))) return;
        clearTimeout(timer);
        resolve();
      };
      question.check();
    });
  }

  #giveUp(ids: readonly string[]): void {
    for (const id of ids) this.#silent.add(id);
    this.#options.log.warn(
      { connections: ids.map((id) => NAME + id) },
      `processes have not answered for ${PATIENCE_MS / 1_000} s; they answer nothing from memory until they do`,
    );
  }
}
