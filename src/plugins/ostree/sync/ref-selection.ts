import { glob } from '../../../lib/glob.ts';

/** Lists of shell patterns, where `*` crosses `/`; null selects everything, or leaves nothing out. */
export interface RefPatterns {
  readonly include_refs: readonly string[] | null;
  readonly exclude_refs: readonly string[] | null;
}

const isPattern = (text: string): boolean => /[*?[]/.test(text);
const anyOf = (patterns: readonly string[]): ((name: string) => boolean) => {
  const tests = patterns.map(glob);
  return (name) => tests.some((test) => test(name));
};

/** Which refs are mirrored: those that are included, then not excluded (spec: ostree, 5). An empty list is as none. */
export function refSelection({ include_refs, exclude_refs }: RefPatterns): (name: string) => boolean {
  const included = include_refs && include_refs.length > 0 ? anyOf(include_refs) : () => true;
  const excluded = exclude_refs ? anyOf(exclude_refs) : () => false;
  return (name) => included(name) && !excluded(name);
}

/** The refs that can be asked for by name, where nothing lists them; undefined where patterns, or nothing, is given. */
export function plainRefs({ include_refs }: RefPatterns): readonly string[] | undefined {
  if (!include_refs || include_refs.length === 0 || include_refs.some(isPattern)) return undefined;
  return [...new Set(include_refs)];
}
