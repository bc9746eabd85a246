import { inspect } from 'node:util';
import { type Logger, pino, stdSerializers } from 'pino';

/** The standing fields of a line, which the readable form leaves out or puts first. */
const STANDING = new Set(['level', 'time', 'process', 'msg', 'err', 'pid', 'hostname']);

/** `01:34:00.257 warn  server: heartbeat is back name="1@host"`, and below it the stack of an error. */
function readableLine(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown> & { err?: { stack?: string } };
  const time = new Date(String(entry.time)).toISOString().slice(11, 23);
  const fields = Object.entries(entry)
    .filter(([name]) => !STANDING.has(name))
    .map(
      ([name, value]) =>
        ` ${name}=${typeof value === 'object' ? inspect(value, { breakLength: Infinity }) : JSON.stringify(value)}`,
    );
  const stack = entry.err?.stack ? `\n  ${entry.err.stack.replaceAll('\n', '\n  ')}` : '';
  return `${time} ${String(entry.level).padEnd(5)} ${entry.process}: ${entry.msg}${fields.join('')}${stack}\n`;
}

/**
 * The log of a process, on stdout: JSON, one object a line, or for people (`text`) a line of text each. `auto` is text on a
 * terminal.
 */
export function createLog(options: { level: string; format: 'auto' | 'json' | 'text'; process: string }): Logger {
  const readable = options.format === 'text' || (options.format === 'auto' && process.stdout.isTTY);
  return pino(
    {
      level: options.level,
      base: { process: options.process, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
    },
    { write: (line) => process.stdout.write(readable ? readableLine(line) : line) },
  );
}
