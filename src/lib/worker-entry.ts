import type { ResourceLimits } from 'node:worker_threads';
/**
 * The file to start a worker thread from: `new Worker(threadEntry(import.meta.url, 'writer-thread'))`. `name` is a sibling of
 * the calling module. In the bundle every thread is `dist/<name>.mjs`, and so are the callers. From source, Node 20 does not
 * hand tsx's loader down to a thread (`--import` in its execArgv is not enough), so the thread registers it itself.
 */
export function threadEntry(moduleUrl: string, name: string): URL {
  if (!moduleUrl.endsWith('.ts')) return new URL(`./${name}.mjs`, moduleUrl);
  const loader = import.meta.resolve('tsx/esm/api');
  const thread = new URL(`./${name}.ts`, moduleUrl).href;
  const script = `import { register } from ${JSON.stringify(loader)}; register(); await import(${JSON.stringify(thread)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(script)}`);
}

/**
 * The URL by which a thread imports a sibling of the calling module: `name` ends in `-proof`, so that it has a file of its own in the
 * bundle (scripts/build.mjs).
 */
export const siblingModule = (moduleUrl: string, name: string): string =>
  new URL(`./${name}.${moduleUrl.endsWith('.ts') ? 'ts' : 'mjs'}`, moduleUrl).href;

/** Heap of a thread that moves bytes: what it makes is short-lived, and by default each thread's young generation alone takes 48 MB. */
export const THREAD_MEMORY: ResourceLimits = { maxYoungGenerationSizeMb: 3, maxOldGenerationSizeMb: 128 };
