import {
  artifactValue,
  type ContentKind,
  contentOrdering,
  defineContent,
  keyFilters,
  unitField,
  unitText,
} from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Field, Row } from '../../../kit/define-resource.ts';
import { conditionFilter, NAME_LOOKUPS } from '../../../kit/filters.ts';
import { API_ROOT } from '../../../kit/names.ts';
import { contentPolicy } from '../access/policies.ts';
import { checksumSchema } from '../format/checksum.ts';
import { ObjectType, objectPath } from '../format/object.ts';

const COMMITS = `${API_ROOT}content/ostree/commits/`;
const OBJECTS = `${API_ROOT}content/ostree/objects/`;
const URI = { type: 'string', format: 'uri' };

const artifact = unitField(URI, 'The stored file; null while it is not here yet.', { required: true, value: artifactValue });

/** Where clients find it below a distribution. */
const relativePath = (value?: (row: Row) => string): Field =>
  unitText('Its path in the repository.', { required: true, ...(value ? { value } : {}) });

const pathOf = (row: Row, type: ObjectType): string => objectPath(checksumSchema.parse(row.checksum), type);

const checksum = unitText('Its checksum: 64 hexadecimal digits.', { required: true });

/** Lists can be ordered by the path, which begins like the checksum. */
const objectOrdering = (own: readonly string[]) => ({ ...contentOrdering(own), relative_path: 'd.checksum' });

/** A name for a commit. */
export const ref = defineContent({
  plugin: 'ostree',
  endpoint: 'refs',
  model: 'OstreeRef',
  policy: contentPolicy,
  pulpType: 'ostree.refs',
  table: 'ostree_ref',
  title: ['ref', 'refs'],
  description: 'A ref: a name for a commit.',
  fields: {
    artifact,
    relative_path: relativePath((row) => `refs/heads/${row.name}`),
    commit: unitField(URI, 'The commit that it names.', { required: true, value: (row) => `${COMMITS}${row.commit_id}/` }),
    checksum: unitText("The commit's checksum.", { access: 'read' }),
    name: unitText('Its name.', { required: true, column: 'd.name', lookups: NAME_LOOKUPS }),
  },
  filters: {
    checksum: conditionFilter(
      (value, { services }) => sql`d.commit_id in (
        select c.id from ostree_commit c where c.domain_id = ${services.domain.id}::uuid and c.checksum = ${value})`,
    ),
  },
  ordering: { ...contentOrdering(['name']), relative_path: 'd.name' },
  select: sql`d.name, d.commit_id, named.checksum`,
  joins: sql`join ostree_commit named on named.id = d.commit_id`,
});

const weighObjects = async (ids: readonly string[], db: Queryable) => {
  const counts = await db.query<{ id: string; count: number }>(sql`
    select commit_id as id, count(*) as count from ostree_commit_object where commit_id = any(${ids}::uuid[]) group by commit_id`);
  return new Map(counts.map(({ id, count }) => [id, count]));
};

const loadObjects = async (ids: readonly string[], db: Queryable) => {
  const rows = await db.query<{ id: string; objects: string[] }>(sql`
    select commit_id as id, array_agg(object_id) as objects from ostree_commit_object
    where commit_id = any(${ids}::uuid[]) group by commit_id`);
  return new Map(rows.map(({ id, objects }) => [id, objects.map((object) => `${OBJECTS}${object}/`)]));
};

/** A state of a tree of files. */
export const commit = defineContent({
  plugin: 'ostree',
  endpoint: 'commits',
  model: 'OstreeCommit',
  policy: contentPolicy,
  pulpType: 'ostree.commit',
  table: 'ostree_commit',
  title: ['commit', 'commits'],
  description: 'A commit: one state of a tree of files.',
  fields: {
    artifact,
    relative_path: relativePath((row) => pathOf(row, ObjectType.commit)),
    parent_commit: unitField({ type: ['string', 'null'], format: 'uri' }, 'The commit before it, where that one is here.', {
      value: (row) => (row.parent_commit_id ? `${COMMITS}${row.parent_commit_id}/` : null),
    }),
    checksum,
    objs: unitField({ type: 'array', items: URI }, 'All objects that it consists of.', {
      required: true,
      bulk: { weigh: weighObjects, load: loadObjects, none: [] },
    }),
  },
  filters: { checksum: keyFilters('checksum').exact },
  ordering: objectOrdering(['checksum']),
  select: sql`d.checksum, d.parent_commit_id`,
});

/** A file, dirtree or dirmeta. */
export const object = defineContent({
  plugin: 'ostree',
  endpoint: 'objects',
  model: 'OstreeObject',
  policy: contentPolicy,
  pulpType: 'ostree.object',
  table: 'ostree_object',
  title: ['object', 'objects'],
  description: 'An object: a file, a dirtree or a dirmeta.',
  fields: {
    artifact,
    relative_path: relativePath((row) => pathOf(row, row.typ as ObjectType)),
    checksum,
    typ: unitField({ type: 'integer', format: 'int64' }, "OSTree's number of its type: 1 file, 2 dirtree, 3 dirmeta.", {
      required: true,
    }),
  },
  filters: { checksum: keyFilters('checksum').exact },
  ordering: objectOrdering(['checksum', 'typ']),
  select: sql`d.checksum, d.typ`,
});

/** A file that a repository has one of, at a path of its own. */
const single = (names: Pick<ContentKind, 'policy' | 'endpoint' | 'model' | 'pulpType' | 'table' | 'title' | 'description'>) =>
  defineContent({
    ...names,
    plugin: 'ostree',
    fields: { artifact, relative_path: relativePath() },
    ordering: { pk: 'm.id' },
    select: sql`d.relative_path`,
  });

/** The configuration of a repository. */
export const config = single({
  endpoint: 'configs',
  model: 'OstreeConfig',
  policy: contentPolicy,
  pulpType: 'ostree.config',
  table: 'ostree_config',
  title: ['config', 'configs'],
  description: 'A config: the configuration of a repository.',
});

/** The list of a repository's refs. */
export const summary = single({
  endpoint: 'summaries',
  model: 'OstreeSummary',
  policy: contentPolicy,
  pulpType: 'ostree.summary',
  table: 'ostree_summary',
  title: ['summary', 'summaries'],
  description: "A summary: the list of a repository's refs.",
});
