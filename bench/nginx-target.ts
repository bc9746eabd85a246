import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ChildServer, freePort, startServer } from './child-server.ts';
import { type ProcessGroup, processTree } from './process-usage.ts';
import type { RegistryTarget } from './registry-target.ts';

/** nginx with the same bytes in plain files: what the machine can serve at most. Needs no token and takes no push. */
export class NginxTarget implements RegistryTarget {
  readonly name = 'nginx';
  readonly origin: string;
  readonly #program: string;
  readonly #root: string;
  readonly #server: ChildServer;

  private constructor(program: string, origin: string, root: string, server: ChildServer) {
    this.#program = program;
    this.origin = origin;
    this.#root = root;
    this.#server = server;
  }

  static async open(program: string, workFolder: string): Promise<NginxTarget> {
    const folder = join(workFolder, 'nginx');
    const root = join(folder, 'root');
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'ready'), '');
    const port = await freePort();
    const configuration = join(folder, 'nginx.conf');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${join(folder, name)};`)
      .join(' ');
    writeFileSync(
      configuration,
      `${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; worker_processes auto; pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')};
      events { worker_connections 1024; }
      http { ${temporary} access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
        server { listen 127.0.0.1:${port} reuseport; root ${root}; } }\n`,
    );
    const origin = `http://127.0.0.1:${port}`;
    const args = ['-p', folder, '-c', configuration, '-e', join(folder, 'error.log')];
    const server = await startServer(program, args, { logFile: join(folder, 'output.log'), url: `${origin}/ready` });
    return new NginxTarget(program, origin, root, server);
  }

  get group(): ProcessGroup {
    return { pids: () => processTree(this.#server.pid), role: () => 'server' };
  }

  readonly place = (path: string, bytes: Iterable<Uint8Array>): void => {
    const file = join(this.#root, path);
    mkdirSync(dirname(file), { recursive: true });
    const descriptor = openSync(file, 'w');
    for (const chunk of bytes) writeFileSync(descriptor, chunk);
    closeSync(descriptor);
  };

  async headers(): Promise<Record<string, string>> {
    return {};
  }

  async tokenPath(): Promise<undefined> {
    return undefined;
  }

  async versions(): Promise<Record<string, string>> {
    return { nginx: spawnSync(this.#program, ['-v'], { encoding: 'utf8' }).stderr.trim() };
  }

  close(): Promise<void> {
    return this.#server.stop();
  }
}
