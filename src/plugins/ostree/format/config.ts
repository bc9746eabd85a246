import { refuse } from './format-error.ts';

/** Characters, and bytes, of a config file; a real one has 200. */
export const MAX_CONFIG_LENGTH = 1024 * 1024;
const SUBJECT = 'config';
const ARCHIVE_MODES = ['archive', 'archive-z2'];

/** What of a repository's `config` matters to who mirrors it. */
export interface RepoConfig {
  /** As written: `archive-z2`, or `archive`, which means the same. */
  readonly mode: string;
  readonly collectionId: string | undefined;
  /** Whether `delta-indexes/` tell the deltas; undefined where the file does not say. */
  readonly indexedDeltas: boolean | undefined;
  readonly tombstoneCommits: boolean;
}

/**
 * Parses a repository's `config` (GLib's key file format, the group `core`). FormatError where it is none, and where the repository
 * is not of the archive kind: the others keep files that are not made for HTTP.
 */
export function parseRepoConfig(text: string): RepoConfig {
  if (text.length > MAX_CONFIG_LENGTH) refuse(SUBJECT, `it is longer than ${MAX_CONFIG_LENGTH} characters`);
  if (/^\ufeff?\s*</.test(text))
    refuse(SUBJECT, 'it is an HTML page, not the config of an OSTree repository: does the URL name one?');
  const core = readCore(text);
  if (!core) return refuse(SUBJECT, 'it has no group [core]: does the URL name an OSTree repository?');
  const version = core.get('repo_version');
  if (version !== '1') refuse(SUBJECT, `repo_version is ${JSON.stringify(version ?? '')}, not 1`);
  const mode = core.get('mode') ?? 'bare';
  if (!ARCHIVE_MODES.includes(mode)) {
    refuse(
      SUBJECT,
      `the repository is of the mode ${JSON.stringify(mode)}: only an archive (archive-z2) repository can be mirrored`,
    );
  }
  return {
    mode,
    collectionId: core.get('collection-id'),
    indexedDeltas: readBoolean(core, 'indexed-deltas'),
    tombstoneCommits: readBoolean(core, 'tombstone-commits') ?? false,
  };
}

/** Keys and values of `[core]`, the last of a name counting; undefined where there is no such group. */
function readCore(text: string): Map<string, string> | undefined {
  let core: Map<string, string> | undefined;
  let group: string | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[([^[\]]+)\]$/.exec(line);
    if (header) {
      group = header[1];
      if (group === 'core') core ??= new Map();
      continue;
    }
    const equals = line.indexOf('=');
    if (group === undefined || equals < 1) refuse(SUBJECT, `line ${index + 1} is neither a group nor a key with a value`);
    if (group === 'core') core?.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return core;
}

/** As GLib reads it: true, false, 1 or 0. */
function readBoolean(core: ReadonlyMap<string, string>, key: string): boolean | undefined {
  const value = core.get(key);
  if (value === undefined) return undefined;
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  return refuse(SUBJECT, `${key} is ${JSON.stringify(value.slice(0, 60))}, neither true nor false`);
}
