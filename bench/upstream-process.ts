import { startUpstream } from '../test/support/upstream-registry.ts';
import { type Expected, expectedOf, type Workload, type WorkloadName, warmUpWorkload, workloadOf } from './workload.ts';

/** What the bench asks of the upstream's process. */
export type UpstreamCall =
  | { call: 'publish'; workload: WorkloadName | 'warm-up'; seed: string; quick: boolean; repositories: readonly string[] }
  /** Moves the tag that is to change, in one repository. */
  | { call: 'change'; repository: string; number: number }
  | { call: 'unpublish' }
  | { call: 'reset' }
  | { call: 'requests' };

export interface UpstreamAnswers {
  publish: Expected;
  change: Expected;
  unpublish: null;
  reset: null;
  requests: { counts: Record<string, number>; repeatedBlobs: number; connections: number };
}

// The upstream has a process of its own, so that its work is not counted as anybody else's.
const upstream = await startUpstream();
const workloads = new Map<string, Workload>();
let lastMade: { key: string; workload: Workload } | null = null;

function workloadFor(name: WorkloadName | 'warm-up', seed: string, quick: boolean): Workload {
  const key = `${name} ${seed} ${quick}`;
  if (lastMade?.key !== key)
    lastMade = { key, workload: name === 'warm-up' ? warmUpWorkload(seed) : workloadOf(name, seed, quick) };
  return lastMade.workload;
}

function answer(call: UpstreamCall): UpstreamAnswers[keyof UpstreamAnswers] {
  if (call.call === 'publish') {
    const workload = workloadFor(call.workload, call.seed, call.quick);
    for (const repository of call.repositories) {
      workloads.set(repository, workload);
      for (const [tag, image] of workload.tags) upstream.put(repository, image, tag);
    }
    return expectedOf(workload);
  }
  if (call.call === 'change') {
    const workload = workloads.get(call.repository);
    if (workload === undefined) throw new Error(`No workload was published as ${call.repository}`);
    const image = workload.changed(call.number);
    upstream.put(call.repository, image, workload.changedTag);
    const changed = { ...workload, tags: new Map([...workload.tags, [workload.changedTag, image]]) };
    return expectedOf(changed);
  }
  if (call.call === 'requests') {
    const repeatedBlobs = Object.keys(upstream.requests.repeatedBlobs()).length;
    return { counts: upstream.requests.counts(), repeatedBlobs, connections: upstream.connections };
  }
  if (call.call === 'unpublish') {
    for (const repository of workloads.keys()) upstream.content.removeRepository(repository);
    workloads.clear();
  }
  upstream.requests.reset();
  return null;
}

process.on('message', ({ id, ...call }: UpstreamCall & { id: number }) => {
  process.send?.({ id, answer: answer(call) });
});
process.on('disconnect', () => process.exit(0));
process.send?.({ url: upstream.url, host: upstream.host });
