import { cpus, release, totalmem, type } from 'node:os';

/** The machine that the numbers belong to. */
export function describeMachine(): Record<string, string | number> {
  const processors = cpus();
  return {
    system: `${type()} ${release()}`,
    processor: processors[0]?.model ?? 'unknown',
    processors: processors.length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
}
