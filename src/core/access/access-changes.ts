import type { Database } from '../../db/database.ts';
import { POLICY_CHANNEL } from './policies.ts';

/** Sent by triggers when a role, who has it, a group, its members or a user changes; roles on tasks aside. */
const ACCESS_CHANNEL = 'deckle_access';

/**
 * Calls `forget` whenever somebody's rights may have become others, whichever process changed them, or that may have been missed.
 * Answers how to stop.
 */
export async function listenForAccessChanges(db: Database, forget: () => void): Promise<() => Promise<void>> {
  const stops = [await db.listen(ACCESS_CHANNEL, forget, forget), await db.listen(POLICY_CHANNEL, forget, forget)];
  return async () => {
    for (const stop of stops) await stop();
  };
}
