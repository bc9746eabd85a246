import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { insertRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import type { Columns, Field, Fields, Row, Store } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { type Filter, NAME_LOOKUPS, NUMBER_LOOKUPS } from '../../kit/filters.ts';
import { labelFilter } from '../../kit/labels.ts';
import { collectionOf } from '../../kit/names.ts';
import { relatedFilter } from '../../kit/reference-filters.ts';
import { noMatch, visibleRow } from '../../kit/references.ts';
import { timeFields } from '../../kit/serialize.ts';
import { type TableStoreOptions, tableStore } from '../../kit/store.ts';
import { described, integer, labels, reference, text } from '../../kit/wire.ts';
import { withContent } from '../content/content-filters.ts';
import { applyRetention } from './retention.ts';
import { versionHref } from './version-response.ts';

const repositoryHref = (row: Row): string => `${collectionOf('repositories', row.pulp_type as string)}${row.id}/`;

/** The remote that syncs use by default; must be of the repository's own type. */
const remoteField = (pulpType: string): Field => ({
  wire: reference({ nullable: true }),
  description: 'A remote to sync from by default.',
  value: (row) => (row.remote_id ? `${collectionOf('remotes', row.remote_type as string)}${row.remote_id}/` : null),
  resolve: async (value, { request }): Promise<Columns> => {
    if (value === null) return { remote_id: null };
    const located = request.services.catalog.locate(String(value));
    if (!located) throw new ValidationError({ remote: [noMatch(String(value))] });
    const remote = located.resource.kind === 'remotes' ? await visibleRow(located.resource, located.id, request) : undefined;
    if (!remote) throw new ValidationError({ remote: ['Invalid hyperlink - Object does not exist.'] });
    if (remote.pulp_type !== pulpType)
      throw new ValidationError({ remote: [`Type for Remote '${remote.name}' does not match Repository.`] });
    return { remote_id: remote.id };
  },
});

/** The fields of every repository (spec: repositories, container repository object). */
export const repositoryFields = (pulpType: string): Fields => ({
  ...timeFields,
  versions_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of its versions.',
    value: (row) => `${repositoryHref(row)}versions/`,
  },
  pulp_labels: { wire: labels(), description: 'Labels: text by key.' },
  latest_version_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of its latest version.',
    value: (row) =>
      row.latest_version === null ? null : versionHref(row.pulp_type as string, row.id, row.latest_version as number),
  },
  name: { wire: text(), required: true, unique: true, lookups: NAME_LOOKUPS, description: 'A unique name for this repository.' },
  description: { wire: text({ nullable: true }), description: 'What it is for.' },
  retain_repo_versions: {
    wire: integer({ nullable: true, min: 1 }),
    lookups: NUMBER_LOOKUPS,
    description: 'How many versions are kept; null keeps all.',
  },
  retain_checkpoints: {
    wire: integer({ nullable: true, min: 1 }),
    lookups: NUMBER_LOOKUPS,
    description: 'How many checkpoints are kept; null keeps all.',
  },
  remote: remoteField(pulpType),
});

/** What the fields need of a repository's row; `m` is the repository. */
export const repositoryColumns = sql`m.*, remote.pulp_type as remote_type,
  (select number from repository_version v where v.repository_id = m.id order by number desc limit 1) as latest_version`;
/** Joins what `repositoryColumns` selects from. */
export const repositoryJoins = sql`left join remote on remote.id = m.remote_id`;

const columns = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `m.${name}`]));

export const REPOSITORY_ORDERING: Readonly<Record<string, string | null>> = {
  ...columns([
    'description',
    'name',
    'next_version',
    'pulp_created',
    'pulp_labels',
    'pulp_last_updated',
    'pulp_type',
    'retain_checkpoints',
    'retain_repo_versions',
  ]),
  pk: 'm.id',
  pulp_id: 'm.id',
  user_hidden: null,
};

export const REPOSITORY_FILTERS: Readonly<Record<string, Filter>> = {
  remote: relatedFilter({ label: 'remote', of: ({ kind }) => kind === 'remotes', nullable: true }, (id) =>
    id === null ? sql`m.remote_id is null` : sql`m.remote_id = ${id}::uuid`,
  ),
  with_content: withContent(
    (id) => sql`m.id in (select rc.repository_id from repository_content rc where rc.content_id = ${id}::uuid)`,
  ),
  latest_with_content: withContent(
    (id) => sql`m.id in (
      select rc.repository_id from repository_content rc where rc.content_id = ${id}::uuid and rc.version_removed is null)`,
  ),
  pulp_label_select: labelFilter(),
};

/** Every repository begins with an empty version 0 (spec: repositories, versions). */
const firstVersion = (tx: Queryable, { id }: { readonly id: string }) =>
  insertRow(tx, 'repository_version', { id: uuid7(), repository_id: id, number: 0 });

/** The store of a kind of repository: version 0 on creation, retention when it is lowered. */
export const repositoryStore = (options: Omit<TableStoreOptions, 'master' | 'channel'>): Store =>
  tableStore({
    ...options,
    master: 'repository',
    channel: 'deckle_repository',
    afterInsert: firstVersion,
    afterUpdate: async (tx, id, changed) => {
      if ('retain_repo_versions' in changed) await applyRetention(tx, id);
    },
  });
