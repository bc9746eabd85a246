import type { Services } from '../../../kit/services.ts';
import type { Checksum } from '../format/checksum.ts';
import type { ContentSaver } from './content-saver.ts';
import { storeBytes } from './stored-bytes.ts';

/** Saves refs with the files that name their commits, which are saved: `commits` are the ids of those by checksum. Answers ids of refs. */
export async function saveRefs(
  saver: ContentSaver,
  refs: readonly { readonly name: string; readonly commit: Checksum }[],
  commits: ReadonlyMap<Checksum, string>,
  services: Pick<Services, 'config' | 'storage'>,
): Promise<string[]> {
  const rows = refs.map(async ({ name, commit }) => {
    const id = commits.get(commit);
    if (id === undefined) throw new Error(`the ref ${name} is to be saved before its commit`);
    return { name, commit: id, file: await storeBytes(Buffer.from(`${commit}\n`), services) };
  });
  return saver.refs(await Promise.all(rows));
}
