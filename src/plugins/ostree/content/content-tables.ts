import type { ContentTable, UniqueInVersion } from '../../../core/plugin-api.ts';
import type { UnitTable } from '../../../kit/unit-table.ts';

/** The OSTree content types, as set-based saving needs them (prisma/models/ostree.prisma). */
export const COMMITS: ContentTable<'checksum' | 'parent_commit_id' | 'timestamp' | 'version'> = {
  pulp_type: 'ostree.commit',
  table: 'ostree_commit',
  columns: { checksum: 'text', parent_commit_id: 'uuid', timestamp: 'bigint', version: 'text' },
  key: ['checksum'],
  domain: true,
};

export const OBJECTS: ContentTable<'checksum' | 'typ'> = {
  pulp_type: 'ostree.object',
  table: 'ostree_object',
  columns: { checksum: 'text', typ: 'smallint' },
  key: ['checksum', 'typ'],
  domain: true,
};

export const REFS: ContentTable<'name' | 'commit_id'> = {
  pulp_type: 'ostree.refs',
  table: 'ostree_ref',
  columns: { name: 'text', commit_id: 'uuid' },
  key: ['name', 'commit_id'],
  domain: false,
};

export const CONFIGS: ContentTable<'sha256'> = {
  pulp_type: 'ostree.config',
  table: 'ostree_config',
  columns: { sha256: 'text' },
  key: ['sha256'],
  domain: true,
};

export const SUMMARIES: ContentTable<'sha256'> = {
  pulp_type: 'ostree.summary',
  table: 'ostree_summary',
  columns: { sha256: 'text' },
  key: ['sha256'],
  domain: true,
};

/** Files that are kept under their path: of static deltas, their indexes, detached metadata, the summary's signature. */
export const CONTENTS: ContentTable<'relative_path' | 'digest'> = {
  pulp_type: 'ostree.content',
  table: 'ostree_content',
  columns: { relative_path: 'text', digest: 'text' },
  key: ['relative_path', 'digest'],
  domain: true,
};

/** Within a version a ref's name and a file's path occur once: what is added takes the place of what was there (spec: ostree, 3). */
export const UNIQUE_IN_VERSION: readonly UniqueInVersion[] = [
  { pulp_type: REFS.pulp_type, table: REFS.table, column: 'name' },
  { pulp_type: CONFIGS.pulp_type, table: CONFIGS.table, column: 'relative_path' },
  { pulp_type: SUMMARIES.pulp_type, table: SUMMARIES.table, column: 'relative_path' },
  { pulp_type: CONTENTS.pulp_type, table: CONTENTS.table, column: 'relative_path' },
];

/** What needs what, as upkeep has to know it. A commit does not need its parents: how many there are is for the remote's depth to say. */
export const OSTREE_UNITS: readonly UnitTable[] = [
  { pulp_type: REFS.pulp_type, table: REFS.table, neededBy: [] },
  { pulp_type: CONFIGS.pulp_type, table: CONFIGS.table, neededBy: [] },
  { pulp_type: SUMMARIES.pulp_type, table: SUMMARIES.table, neededBy: [] },
  { pulp_type: CONTENTS.pulp_type, table: CONTENTS.table, neededBy: [] },
  {
    pulp_type: COMMITS.pulp_type,
    table: COMMITS.table,
    neededBy: [{ table: REFS.table, needs: 'commit_id', unit: 'id' }],
    chained: true,
  },
  {
    pulp_type: OBJECTS.pulp_type,
    table: OBJECTS.table,
    neededBy: [{ table: 'ostree_commit_object', needs: 'object_id', unit: 'commit_id' }],
  },
];
