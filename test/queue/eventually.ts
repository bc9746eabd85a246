import { setTimeout as delay } from 'node:timers/promises';

/** What `look` answers once it answers something other than undefined, null or false; fails after the deadline, saying what was awaited. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  milliseconds = 60_000,
): Promise<T> {
  for (const end = Date.now() + milliseconds; ; await delay(20)) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms: ${what}`);
  }
}
