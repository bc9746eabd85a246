import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildServer, freePort, startServer } from './child-server.ts';
import { type ProcessGroup, processTree } from './process-usage.ts';
import { CONTAINER, type MirrorKind, PulpApiMirror } from './pulp-api-subject.ts';
import type { Mirrored, Subject } from './subject.ts';

/** What `npm run build` makes. */
export const BUILT = fileURLToPath(new URL('../dist', import.meta.url));
export const DECKLE_CREDENTIALS = { username: 'admin', password: 'password' };

/** Deckle as `npm start` runs it: everything embedded, in a new data folder for each round. */
export class DeckleSubject implements Subject {
  readonly name: string;
  readonly #workFolder: string;
  readonly #upstreamUrl: string;
  readonly #profiles: string | undefined;
  readonly #program: string;
  readonly #kind: MirrorKind;
  #server: ChildServer | null = null;
  #mirror: PulpApiMirror | null = null;
  #origin = '';

  /**
   * With `profiles` each of its processes and threads leaves a CPU profile in that folder when it ends. `build` is another build than that of
   * this tree, to measure beside it.
   */
  constructor(
    workFolder: string,
    upstreamUrl: string,
    profiles?: string,
    kind = CONTAINER,
    build: { readonly name: string; readonly dist: string } = { name: 'deckle', dist: BUILT },
  ) {
    this.name = build.name;
    this.#kind = kind;
    this.#workFolder = workFolder;
    this.#upstreamUrl = upstreamUrl;
    this.#profiles = profiles;
    // Of its own, so that a build in the meantime does not change the subject between two rounds.
    this.#program = join(workFolder, `${build.name}-program`);
    cpSync(build.dist, this.#program, { recursive: true });
  }

  get origin(): string {
    return this.#origin;
  }

  /** Its processes: server, workers, database. */
  get group(): ProcessGroup {
    return { pids: () => (this.#server === null ? [] : processTree(this.#server.pid)), role };
  }

  get api(): PulpApiMirror {
    if (this.#mirror === null) throw new Error('Deckle has not been opened');
    return this.#mirror;
  }

  versions(): Promise<Record<string, string>> {
    return this.api.versions();
  }

  /** `env` are further settings: another database, for example. */
  async open(round: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const port = await freePort();
    const folder = join(this.#workFolder, `${this.name}-${round}`);
    mkdirSync(folder, { recursive: true });
    this.#origin = `http://127.0.0.1:${port}`;
    const program = join(this.#program, 'deckle.mjs');
    // As it is installed; or with a profile, which its children, being forked, write too.
    const [command, ...args] =
      this.#profiles === undefined
        ? [program]
        : [process.execPath, '--enable-source-maps', '--cpu-prof', `--cpu-prof-dir=${this.#profiles}`, program];
    this.#server = await startServer(command, [...args, 'start'], {
      env: {
        PORT: String(port),
        DATA_DIR: join(folder, 'data'),
        DATABASE_URL: '',
        REDIS_URL: '',
        ADMIN_PASSWORD: DECKLE_CREDENTIALS.password,
        ...env,
      },
      cwd: folder,
      logFile: join(folder, 'output.log'),
      url: `${this.#origin}/pulp/api/v3/status/`,
    });
    this.#mirror = new PulpApiMirror({
      origin: this.#origin,
      upstreamUrl: this.#upstreamUrl,
      credentials: DECKLE_CREDENTIALS,
      group: this.group,
      pollMs: 10,
      kind: this.#kind,
    });
  }

  mirror(upstreamRepository: string, name: string): Promise<Mirrored> {
    return this.api.mirror(upstreamRepository, name);
  }

  async close(): Promise<void> {
    await this.#server?.stop();
    this.#server = null;
    this.#mirror = null;
  }
}

function role(commandLine: string): string {
  if (/postgres/.test(commandLine)) return 'database';
  return /deckle\.mjs\s+(\w+)/.exec(commandLine)?.[1] ?? 'other';
}
