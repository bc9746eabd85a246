import { setMaxListeners } from 'node:events';

/** One task's signal serves thousands of requests: Node's warning about more than ten listeners is put off for it. */
export function shareSignal(signal: AbortSignal | undefined): void {
  if (signal) setMaxListeners(0, signal);
}

/** Calls `listener` with the signal's reason when it is aborted; the function it returns takes that back. */
export function onAbort(signal: AbortSignal | undefined, listener: (reason: Error) => void): () => void {
  if (!signal) return () => undefined;
  const call = (): void => listener(reasonOf(signal));
  if (signal.aborted) {
    call();
    return () => undefined;
  }
  shareSignal(signal);
  signal.addEventListener('abort', call, { once: true });
  return () => signal.removeEventListener('abort', call);
}

/** The reason as an Error, which streams and sockets need. */
const reasonOf = ({ reason }: AbortSignal): Error => (reason instanceof Error ? reason : new Error('aborted', { cause: reason }));

/** A signal with a parent. `end` lets go of the parent and of the timer. */
export interface AbortScope {
  readonly signal: AbortSignal;
  readonly abort: (reason: Error) => void;
  readonly end: () => void;
}

/** Aborted with its parent, by `abort`, or after `ms` (0: never) with the error of `late`. */
export function abortScope(
  parent: AbortSignal | undefined,
  ms: number,
  late: () => Error = () => new Error('too late'),
): AbortScope {
  const controller = new AbortController();
  const abort = (reason: Error): void => controller.abort(reason);
  const release = onAbort(parent, abort);
  const timer = ms > 0 ? setTimeout(() => abort(late()), ms) : undefined;
  return {
    signal: controller.signal,
    abort,
    end: () => {
      release();
      clearTimeout(timer);
    },
  };
}
