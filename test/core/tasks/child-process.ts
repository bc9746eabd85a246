import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { childProgram } from '../../support/child-program.ts';
import type { RigUrls } from './rig.ts';

/** A process of a test's own, which runs `role.ts` of this folder with the urls. */
export interface Child {
  readonly process: ChildProcess;
  /** The next message it sends; fails when it ends before. */
  message<T>(): Promise<T>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
}

export function startChild(file: 'worker-child.ts' | 'dispatch-child.ts', urls: RigUrls, ...args: string[]): Child {
  const child = fork(childProgram(join(import.meta.dirname, file)), [JSON.stringify(urls), ...args]);
  const ended = once(child, 'exit');
  return {
    process: child,
    async message<T>() {
      const [message] = await Promise.race([
        once(child, 'message'),
        ended.then(([code]) => {
          throw new Error(`${file} ended with ${code}`);
        }),
      ]);
      return message as T;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
