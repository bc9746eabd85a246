import { listenForAccessChanges } from '../../../core/plugin-api.ts';
import type { Services } from '../../../kit/services.ts';
import type { ServedDistribution } from './served-distribution.ts';
import type { VerifiedToken } from './token.ts';

/**
 * Who may pull what, as the policy has said it since the last change of anybody's rights: a token says what its holder was allowed
 * when it was issued, up to five minutes ago. A distribution that has changed is another object, of which nothing is known.
 */
export class PullRights {
  #allowed = new WeakMap<VerifiedToken, WeakSet<ServedDistribution>>();
  #stop: (() => Promise<void>) | undefined;

  /** Starts to forget what changes. */
  async start({ db }: Pick<Services, 'db'>): Promise<void> {
    this.#stop = await listenForAccessChanges(db, () => {
      this.#allowed = new WeakMap();
    });
  }

  async close(): Promise<void> {
    await this.#stop?.();
  }

  /** Whether the policy has allowed it and nothing has changed since. `distribution` is what is found now. */
  known(token: VerifiedToken, distribution: ServedDistribution): boolean {
    return this.#allowed.get(token)?.has(distribution) ?? false;
  }

  /** Whether it is allowed; `ask` asks the policy, where that is not known. */
  async allow(token: VerifiedToken, distribution: ServedDistribution, ask: () => Promise<boolean>): Promise<boolean> {
    if (this.known(token, distribution)) return true;
    const rights = this.#allowed;
    if (!(await ask())) return false;
    const others = rights.get(token);
    if (others) others.add(distribution);
    else rights.set(token, new WeakSet([distribution]));
    return true;
  }
}
