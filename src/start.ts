import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { type Config, environmentWith } from './config.ts';
import { ADMIN, bootstrap } from './core/bootstrap.ts';
import { prepareDataFolder } from './data-folder.ts';
import { openDatabase } from './db/database.ts';
import { migrate } from './db/migrate.ts';
import { sql } from './db/sql.ts';
import { supervisePostgres } from './embedded/supervised-postgres.ts';
import { catalogOf } from './kit/catalog.ts';
import { verifyPassword } from './lib/password-hash.ts';
import { plugins } from './plugins.ts';
import type { Running } from './run.ts';
import { superviseChild } from './supervised-child.ts';
import { freePort, superviseServers } from './supervised-servers.ts';

const DEFAULT_PASSWORD = 'password';

/**
 * Brings the database to this version and makes what every installation begins with. The password of `admin` is
 * ADMIN_PASSWORD, else `password` where the database is our own, else one made at random, which `print` is given once.
 * Does not change the password of a user who exists.
 */
export async function setUpDatabase(
  config: Config,
  options: { readonly url: string; readonly embedded: boolean; readonly log: Logger; readonly print: (text: string) => void },
): Promise<void> {
  const { url, embedded, log, print } = options;
  await migrate(url, log);
  const db = openDatabase(url, { max: 2, log });
  try {
    const generated = randomBytes(15).toString('base64url');
    const given = config.ADMIN_PASSWORD ?? (embedded ? DEFAULT_PASSWORD : undefined);
    const { adminCreated } = await bootstrap(db, catalogOf(plugins), () => given ?? generated);
    if (adminCreated && given === undefined) {
      print(
        `The user ${ADMIN} was made with the password ${generated}\nIt is not shown again; \`deckle admin reset-password\` sets another.\n`,
      );
    }
  } finally {
    await db.close();
  }
}

/** The password of `admin` if it is the one that everybody knows, or the one of this start's environment. */
async function knownPassword(config: Config, url: string, log: Logger): Promise<string | undefined> {
  const db = openDatabase(url, { max: 1, log });
  try {
    const [admin] = await db.query<{ password: string | null }>(sql`select password from app_user where username = ${ADMIN}`);
    for (const candidate of new Set([config.ADMIN_PASSWORD ?? DEFAULT_PASSWORD, DEFAULT_PASSWORD])) {
      if (admin?.password && (await verifyPassword(candidate, admin.password))) return candidate;
    }
    return undefined;
  } finally {
    await db.close();
  }
}

/** Where to reach a server that listens on `host`, from this machine. */
function localUrl(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

/** What a newcomer wants to know: where it is, how to log in, what to try. */
function welcome(url: string, password: string | undefined, seconds: string): string {
  // Only the well-known password is ever shown.
  const shown = password === DEFAULT_PASSWORD ? password : undefined;
  const credentials = `${ADMIN}:${shown ?? '$ADMIN_PASSWORD'}`;
  const login = shown ? `user ${ADMIN}, password ${shown}` : `user ${ADMIN}, and the password that you have set`;
  return `
Deckle is ready at ${url} (after ${seconds} s)

  Log in as   ${login}
  Read        ${url}/pulp/api/v3/docs/
  Try         curl ${url}/pulp/api/v3/status/
              curl -u ${credentials} ${url}/pulp/api/v3/repositories/container/container/ -d name=first
              npm run demo
  Stop with   Ctrl-C

`;
}

/**
 * Everything on one machine: PostgreSQL where none is configured, servers and workers, each in a process of its own that is
 * started again when it dies. Resolves when all are ready. `module` is the program's own file, which is run
 * with `server` and `worker`.
 */
export async function start(config: Config, log: Logger, module: string): Promise<Running> {
  const print = (text: string) => void process.stdout.write(text);
  const running: Running[] = [];
  // All processes at once; the database, which they use to the end, after them.
  const stopProcesses = async () => void (await Promise.all(running.map((child) => child.stop())));
  prepareDataFolder(config.DATA_DIR);
  const postgres = config.DATABASE_URL
    ? undefined
    : await supervisePostgres({
        folder: join(config.DATA_DIR, 'postgres'),
        log,
        onGivenUp: (error) => {
          log.fatal({ err: error }, 'the embedded PostgreSQL cannot be started again; stopping everything');
          process.exitCode = 1;
          process.kill(process.pid, 'SIGTERM');
        },
      });
  const stop = async () => {
    await stopProcesses();
    await postgres?.stop();
  };
  try {
    const url = config.DATABASE_URL ?? (postgres?.url as string);
    await setUpDatabase(config, { url, embedded: postgres !== undefined, log, print });
    // Known before the URLs that it is part of.
    const port = await freePort(config);
    const env = environmentWith({ DATABASE_URL: url, DATA_DIR: config.DATA_DIR, PORT: String(port) });
    const workers = Array.from({ length: config.WORKERS }, (_, index) => String(index + 1));
    const starting = [
      superviseServers(config, { module, env, log }),
      ...workers.map((number) => superviseChild({ name: `worker ${number}`, module, args: ['worker', number], env, log })),
    ];
    const started = await Promise.allSettled(starting.map(async (process) => running.push(await process)));
    const failed = started.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
    const password = await knownPassword(config, url, log);
    print(welcome(localUrl(config.HOST, port), password, process.uptime().toFixed(1)));
    return { stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
