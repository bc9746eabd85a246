// with-postgres COMMAND ARGUMENT…: runs a command with DATABASE_URL naming an empty, throw-away PostgreSQL. For the
// commands of Prisma that need a database to compare with.
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { removePostgres, startPostgres } from '../src/embedded/postgres.ts';

const [command, ...args] = process.argv.slice(2);
if (!command) throw new Error('usage: with-postgres COMMAND ARGUMENT…');

const folder = mkdtempSync(join(tmpdir(), 'deckle-check-'));
const postgres = await startPostgres({ folder, log: pino({ level: 'warn' }), durable: false });
// A Ctrl-C reaches the command too; this process outlives it to stop the database.
process.on('SIGINT', () => undefined);
try {
  const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, DATABASE_URL: postgres.superuserUrl } });
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
} finally {
  await postgres.stop();
  removePostgres(folder);
}
