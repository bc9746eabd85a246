import { ostreeFixture } from '../test/support/ostree-fixtures.ts';
import { OstreeUpstream } from '../test/support/upstream-ostree.ts';

export type OstreeWorkload = 'medium' | 'large';

/** What the bench asks of the upstream's process. */
export type OstreeUpstreamCall =
  /** Makes a repository of content that no other seed has, in a folder below the served one, and reads it into memory. */
  { call: 'publish'; workload: OstreeWorkload; seed: number; name: string } | { call: 'reset' } | { call: 'requests' };

export interface OstreeUpstreamAnswers {
  publish: { refs: number; commits: readonly string[] };
  reset: null;
  requests: { counts: Record<string, number>; repeated: number };
}

const folder = process.argv[2];
if (folder === undefined) throw new Error('the upstream of the OSTree bench is started with the folder to serve');

// The upstream has a process of its own, so that its work is not counted as anybody else's.
const upstream = await OstreeUpstream.start(folder, { fast: true });

async function answer(call: OstreeUpstreamCall): Promise<OstreeUpstreamAnswers[OstreeUpstreamCall['call']]> {
  if (call.call === 'publish') {
    const { refs } = await ostreeFixture(call.workload, `${folder}/${call.name}`, call.seed);
    await upstream.warmUp();
    return { refs: refs.size, commits: [...refs.values()] };
  }
  if (call.call === 'requests') return upstream.requestCounts();
  upstream.requests.reset();
  return null;
}

process.on('message', ({ id, ...call }: OstreeUpstreamCall & { id: number }) => {
  answer(call).then(
    (answered) => process.send?.({ id, answer: answered }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ url: upstream.url });
