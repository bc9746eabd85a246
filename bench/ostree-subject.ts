import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ostree } from '../test/support/ostree-fixtures.ts';
import { endedChildrenCpu, UsageMeter } from './process-usage.ts';
import type { Mirrored, Subject } from './subject.ts';

/** `ostree pull --mirror` into an archive repository, new in each round. */
export class OstreeSubject implements Subject {
  readonly name = 'ostree';
  readonly #workFolder: string;
  readonly #upstreamUrl: string;
  #folder = '';
  #client: number | undefined;

  constructor(workFolder: string, upstreamUrl: string) {
    this.#workFolder = workFolder;
    this.#upstreamUrl = upstreamUrl;
  }

  async versions(): Promise<Record<string, string>> {
    const { stdout } = await promisify(execFile)('ostree', ['--version']);
    return { ostree: /Version: '([^']+)'/.exec(stdout)?.[1] ?? 'unknown' };
  }

  async open(round: string): Promise<void> {
    this.#folder = join(this.#workFolder, `ostree-${round}`);
    mkdirSync(this.#folder, { recursive: true });
  }

  async mirror(upstreamRepository: string, name: string): Promise<Mirrored> {
    const repository = join(this.#folder, name);
    mkdirSync(repository, { recursive: true });
    await ostree(repository, 'init', '--mode=archive');
    const url = `${this.#upstreamUrl}${upstreamRepository}`;
    await ostree(repository, 'remote', 'add', '--if-not-exists', '--no-gpg-verify', 'upstream', url);
    const before = endedChildrenCpu();
    const meter = new UsageMeter({ pids: () => (this.#client ? [this.#client] : []), role: () => 'client' });
    const started = performance.now();
    await this.#pull(repository);
    const seconds = (performance.now() - started) / 1000;
    const usage = meter.stop();
    const cpuSeconds = endedChildrenCpu() - before;
    const refs = (await ostree(repository, 'refs')).split('\n').filter((line) => line !== '').length;
    return { seconds, usage: { ...usage, cpuSeconds, cpuByRole: { client: cpuSeconds } }, held: { refs } };
  }

  async close(): Promise<void> {
    // Nothing runs between two pulls.
  }

  async #pull(repository: string): Promise<void> {
    const logFile = join(this.#folder, 'client.log');
    const log = openSync(logFile, 'a');
    const child = spawn('ostree', [`--repo=${repository}`, 'pull', '--mirror', 'upstream'], { stdio: ['ignore', log, log] });
    this.#client = child.pid;
    const [code] = await once(child, 'exit');
    this.#client = undefined;
    if (code !== 0) throw new Error(`ostree pull ended with ${code}; see ${logFile}`);
  }
}
