import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { OstreeUpstreamAnswers, OstreeUpstreamCall } from './ostree-upstream-process.ts';

const greeting = z.object({ url: z.string() });
type Answered = { readonly id: number; readonly answer?: never; readonly error?: string };

/** The web server of OSTree repositories, in a process of its own. */
export class BenchOstreeUpstream {
  /** With a slash at its end; repositories are folders below it. */
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answered: Answered) => void>();
  #calls = 0;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    child.on('message', (answered: Answered) => {
      this.#waiting.get(answered.id)?.(answered);
      this.#waiting.delete(answered.id);
    });
  }

  /** Serves `folder`. */
  static async start(folder: string): Promise<BenchOstreeUpstream> {
    const child = fork(fileURLToPath(new URL('./ostree-upstream-process.ts', import.meta.url)), [folder], {
      execArgv: ['--import', 'tsx'],
    });
    const [message] = await once(child, 'message');
    return new BenchOstreeUpstream(child, greeting.parse(message).url);
  }

  ask<C extends OstreeUpstreamCall>(call: C): Promise<OstreeUpstreamAnswers[C['call']]> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ answer, error }) => (error === undefined ? resolve(answer as never) : reject(new Error(error))));
      this.#child.send({ id, ...call });
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}
