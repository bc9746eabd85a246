import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../queue/eventually.ts';

/** The real nginx with the configuration that docker-compose.yml gives it. */
export interface Nginx {
  readonly origin: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Replaces what belongs to the containers; each has to be there. */
function adapted(text: string, changes: readonly (readonly [RegExp, string])[]): string {
  return changes.reduce((now, [from, to]) => {
    if (now.search(from) < 0) throw new Error(`docker/nginx.conf has no ${from}`);
    return now.replace(from, to);
  }, text);
}

/** Starts it on `port`, in front of the server at `serverPort`; the files are in `media`. `workers`: as `worker_processes` has it. */
export async function startNginx(port: number, serverPort: number, media: string, workers = '1'): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'deckle-nginx-'));
  const file = join(folder, 'nginx.conf');
  const text = readFileSync(join(import.meta.dirname, '../../docker/nginx.conf'), 'utf8');
  writeFileSync(
    file,
    adapted(text, [
      [/ \/tmp\//g, ` ${folder}/`],
      [/^worker_processes auto;/m, `worker_processes ${workers};`],
      // Containers have a name server, and their nginx asks it.
      [/^ *resolver .*$/m, ''],
      [/server server:24817 resolve .*;/, `server 127.0.0.1:${serverPort};`],
      [/listen 8080 /, `listen 127.0.0.1:${port} `],
      [/alias \/media\/;/, `alias ${media}/;`],
      [/\/dev\/stderr/, 'stderr'],
    ]),
  );
  // As root it would give its workers to a user who cannot read the files of this test.
  const user = process.getuid?.() === 0 ? ' user root;' : '';
  const args = ['-p', folder, '-e', 'stderr', '-c', file, '-g', `daemon off;${user}`];
  const child: ChildProcess = spawn('nginx', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (words: string) => {
    said += words;
  });
  const ended = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  await eventually('nginx answers', async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${said}`);
    return fetch(origin).catch(() => undefined);
  });
  return {
    origin,
    pid: child.pid as number,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
