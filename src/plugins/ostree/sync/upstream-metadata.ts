import type { Checksum } from '../format/checksum.ts';
import { parseRepoConfig, type RepoConfig } from '../format/config.ts';
import type { OstreeClient } from '../format/ostree-client.ts';
import { parseSummary, type Summary } from '../format/summary.ts';
import type { SelectedRef } from './commit-chains.ts';
import { parsing } from './parsing.ts';
import { plainRefs, type RefPatterns, refSelection } from './ref-selection.ts';

/** A summary with its bytes and those of its signature. */
export interface SignedSummary {
  readonly bytes: Buffer;
  readonly signature: Buffer | undefined;
  readonly summary: Summary;
}

/** What a repository says of itself. */
export interface UpstreamMetadata {
  readonly configBytes: Buffer;
  readonly config: RepoConfig;
  /** Undefined where it has none. */
  readonly summary: SignedSummary | undefined;
  /** The refs that the remote's patterns select. */
  readonly refs: readonly SelectedRef[];
}

/** Reads config and summary. Throws where they are none, where the repository is not an archive, and where nothing lists its refs. */
export async function readMetadata(client: OstreeClient, patterns: RefPatterns, signal: AbortSignal): Promise<UpstreamMetadata> {
  const configBytes = await client.config(signal);
  const config = parsing(client.place('config'), () => parseRepoConfig(configBytes.toString()));
  const bytes = await client.summary(signal);
  const isSelected = refSelection(patterns);
  if (!bytes) {
    const refs = (await refsByName(client, patterns, signal)).filter(({ name }) => isSelected(name));
    return { configBytes, config, summary: undefined, refs };
  }
  const summary = parsing(client.place('summary'), () => parseSummary(bytes));
  const signature = await client.summarySignature(signal);
  const refs = summary.refs.filter(({ name }) => isSelected(name));
  return { configBytes, config, summary: { bytes, signature, summary }, refs };
}

async function refsByName(client: OstreeClient, patterns: RefPatterns, signal: AbortSignal): Promise<SelectedRef[]> {
  const names = plainRefs(patterns);
  if (!names) {
    throw new Error(
      `the repository has no summary (${client.place('summary')} is not found), so that its refs are not known: ` +
        'set include_refs of the remote to their names, without patterns, or have `ostree summary --update` run there',
    );
  }
  const refs: SelectedRef[] = [];
  for (const name of names) {
    const commit: Checksum | undefined = await client.ref(name, signal);
    if (commit === undefined) {
      throw new Error(
        `the repository has neither a summary nor a ref ${JSON.stringify(name)}: ${client.place(`refs/heads/${name}`)} is not found`,
      );
    }
    refs.push({ name, commit });
  }
  return refs;
}
