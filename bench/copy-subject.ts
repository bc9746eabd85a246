import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { type ChildServer, freePort, startServer } from './child-server.ts';
import { endedChildrenCpu, type ProcessGroup, processTree, UsageMeter } from './process-usage.ts';
import type { Mirrored, Subject } from './subject.ts';

/** The programs that can copy a repository into a registry. */
export const COPY_TOOLS = ['crane', 'regsync', 'skopeo'] as const;
export type CopyTool = (typeof COPY_TOOLS)[number];

/** The registry (distribution, as Debian packages it) that the tools copy into. */
export const REGISTRY_PROGRAM = 'docker-registry';

const tagList = z.object({ tags: z.array(z.string()) });

/** A copying tool and a registry, new and empty in each round. */
export class CopySubject implements Subject {
  readonly name: CopyTool;
  readonly #workFolder: string;
  readonly #upstreamHost: string;
  #folder = '';
  #registry: ChildServer | null = null;
  #registryHost = '';
  #client: number | undefined;

  constructor(tool: CopyTool, workFolder: string, upstreamHost: string) {
    this.name = tool;
    this.#workFolder = workFolder;
    this.#upstreamHost = upstreamHost;
  }

  async versions(): Promise<Record<string, string>> {
    const flag = this.name === 'skopeo' ? '--version' : 'version';
    const [tool, registry] = await Promise.all([outputOf(this.name, [flag]), outputOf(REGISTRY_PROGRAM, ['--version'])]);
    return { [this.name]: tool, [REGISTRY_PROGRAM]: registry };
  }

  async open(round: string): Promise<void> {
    this.#folder = join(this.#workFolder, `${this.name}-${round}`);
    mkdirSync(this.#folder, { recursive: true });
    const port = await freePort();
    this.#registryHost = `127.0.0.1:${port}`;
    const configuration = join(this.#folder, 'registry.json'); // JSON is YAML
    const settings = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(this.#folder, 'registry') } },
      http: { addr: this.#registryHost },
    };
    writeFileSync(configuration, JSON.stringify(settings));
    this.#registry = await startServer(REGISTRY_PROGRAM, ['serve', configuration], {
      logFile: join(this.#folder, 'registry.log'),
      url: `http://${this.#registryHost}/v2/`,
    });
  }

  async mirror(upstreamRepository: string, name: string): Promise<Mirrored> {
    const target = this.name === 'skopeo' ? `${name}/${upstreamRepository.split('/').at(-1)}` : name;
    const [command, ...args] = this.#command(`${this.#upstreamHost}/${upstreamRepository}`, name);
    const before = endedChildrenCpu();
    const meter = new UsageMeter(this.#group);
    const started = performance.now();
    await this.#run(command ?? '', args);
    const seconds = (performance.now() - started) / 1000;
    const usage = meter.stop();
    const client = endedChildrenCpu() - before;
    usage.cpuByRole.client = client;
    usage.cpuSeconds = client + (usage.cpuByRole.registry ?? 0);
    const response = await fetch(`http://${this.#registryHost}/v2/${target}/tags/list?n=100000`);
    return { seconds, usage, held: { tags: tagList.parse(await response.json()).tags.length } };
  }

  async close(): Promise<void> {
    await this.#registry?.stop();
    this.#registry = null;
  }

  get #group(): ProcessGroup {
    const pids = () => [
      ...(this.#registry === null ? [] : processTree(this.#registry.pid)),
      ...(this.#client ? [this.#client] : []),
    ];
    return { pids, role: (commandLine) => (commandLine.includes(REGISTRY_PROGRAM) ? 'registry' : 'client') };
  }

  #command(source: string, name: string): string[] {
    const target = `${this.#registryHost}/${name}`;
    if (this.name === 'crane') return ['crane', 'copy', '--insecure', '--all-tags', source, target];
    if (this.name === 'skopeo') {
      const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      return ['skopeo', 'sync', '--all', ...tls, '--src', 'docker', '--dest', 'docker', source, target];
    }
    const configuration = join(this.#folder, `${name.replaceAll('/', '-')}.json`);
    const settings = {
      version: 1,
      creds: [this.#upstreamHost, this.#registryHost].map((registry) => ({ registry, tls: 'disabled' })),
      defaults: { parallel: availableParallelism() },
      sync: [{ source, target, type: 'repository' }],
    };
    writeFileSync(configuration, JSON.stringify(settings));
    return ['regsync', 'once', '-c', configuration];
  }

  async #run(command: string, args: readonly string[]): Promise<void> {
    const logFile = join(this.#folder, 'client.log');
    const log = openSync(logFile, 'a');
    const child = spawn(command, args, { stdio: ['ignore', log, log] });
    this.#client = child.pid;
    const [code] = await once(child, 'exit');
    this.#client = undefined;
    if (code !== 0) throw new Error(`${command} ended with ${code}; see ${logFile}`);
  }
}

async function outputOf(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text.trim().split('\n')[0] ?? '';
}
