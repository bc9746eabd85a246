import { RegistryError } from '../registry/registry-error.ts';

/** What a process that asks an upstream for all tells the others in the end: how their clients are to be answered. */
export type PullOutcome = 'brought' | RegistryError;

type Told = Pick<RegistryError, 'status' | 'code' | 'message' | 'detail' | 'headers'>;

const MAX_MESSAGE = 1_000;

export function newsOf(outcome: PullOutcome): string {
  if (outcome === 'brought') return outcome;
  const { status, code, message, detail, headers } = outcome;
  return JSON.stringify({ status, code, message: message.slice(0, MAX_MESSAGE), detail, headers } satisfies Told);
}

export function outcomeIn(news: string | undefined): PullOutcome | undefined {
  if (news === undefined || news === 'brought') return news;
  const { status, code, message, detail, headers } = JSON.parse(news) as Told;
  return new RegistryError(status, code, message, { detail, headers });
}
