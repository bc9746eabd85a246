import { type Level, type Logger, multistream, pino } from 'pino';

/** A log, and what it was told of faults. */
export interface FaultLog {
  readonly log: Logger;
  /** Lines of the level `error` and above that came since this was asked before. */
  readonly faults: () => readonly string[];
}

/** A log that keeps the faults; where `shown` names a level, what is of that level and above goes to stdout, too. */
export function faultLog(shown: string | undefined): FaultLog {
  const lines: string[] = [];
  const keep = { level: 'error' as const, stream: { write: (line: string) => void lines.push(line.trimEnd()) } };
  const level = (shown ?? 'error') as Level;
  const streams = shown === undefined ? [keep] : [keep, { level, stream: process.stdout }];
  return { log: pino({ level }, multistream(streams)), faults: () => lines.splice(0) };
}
