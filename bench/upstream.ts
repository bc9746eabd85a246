import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { UpstreamAnswers, UpstreamCall } from './upstream-process.ts';

const greeting = z.object({ url: z.string(), host: z.string() });

/** The upstream registry, in a process of its own. */
export class BenchUpstream {
  readonly url: string;
  /** `host:port`. */
  readonly host: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: never) => void>();
  #calls = 0;

  private constructor(child: ChildProcess, { url, host }: z.output<typeof greeting>) {
    this.#child = child;
    this.url = url;
    this.host = host;
    child.on('message', ({ id, answer }: { id: number; answer: never }) => {
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
    child.on('exit', (code) => {
      if (code !== 0) throw new Error(`The upstream's process ended with ${code}; its output above says why`);
    });
  }

  static async start(): Promise<BenchUpstream> {
    const child = fork(fileURLToPath(new URL('./upstream-process.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx', '--max-old-space-size=4096'],
    });
    const [message] = await once(child, 'message');
    return new BenchUpstream(child, greeting.parse(message));
  }

  ask<C extends UpstreamCall>(call: C): Promise<UpstreamAnswers[C['call']]> {
    const id = ++this.#calls;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve as (answer: never) => void);
      this.#child.send({ id, ...call });
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}
