import { type Authenticator, listenForAccessChanges } from '../../../core/plugin-api.ts';
import type { Caller } from '../../../kit/api.ts';
import type { Services } from '../../../kit/services.ts';
import type { VerifiedToken } from './token.ts';

/** Who it is that a token was issued to, as he was after the last change of any user: a push of one image asks for him nine times. */
export class TokenCallers {
  readonly #db: Services['db'];
  readonly #authenticator: Pick<Authenticator, 'find'>;
  #known = new WeakMap<VerifiedToken, Caller | null>();
  #stop: (() => Promise<void>) | undefined;

  constructor({ db }: Pick<Services, 'db'>, authenticator: Pick<Authenticator, 'find'>) {
    this.#db = db;
    this.#authenticator = authenticator;
  }

  /** Starts to forget what changes. */
  async start(): Promise<void> {
    this.#stop = await listenForAccessChanges(this.#db, () => {
      this.#known = new WeakMap();
    });
  }

  async close(): Promise<void> {
    await this.#stop?.();
  }

  /** Null for a token of nobody, and where its user is gone or may not log in any more. */
  async of(token: VerifiedToken): Promise<Caller | null> {
    if (token.subject === '') return null;
    const known = this.#known;
    const before = this.#db.upToDate() ? known.get(token) : undefined;
    if (before !== undefined) return before;
    const caller = (await this.#authenticator.find(token.subject)) ?? null;
    known.set(token, caller);
    return caller;
  }
}
