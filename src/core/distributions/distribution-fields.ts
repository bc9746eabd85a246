import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Columns, Field, Fields, ResolveInput, Resource, Row, Store } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { booleanFilter, conditionFilter, type Filter, listFilter, NAME_LOOKUPS } from '../../kit/filters.ts';
import { labelFilter } from '../../kit/labels.ts';
import { collectionOf, prnType } from '../../kit/names.ts';
import { relatedFilter, relatedListFilter } from '../../kit/reference-filters.ts';
import { visibleRow } from '../../kit/references.ts';
import { timeFields } from '../../kit/serialize.ts';
import { type TableStoreOptions, tableStore } from '../../kit/store.ts';
import { bool, described, labels, reference, text } from '../../kit/wire.ts';
import { withContent } from '../content/content-filters.ts';
import { contentRedirectGuard } from '../content-guards/content-redirect.ts';
import { namedVersion } from '../repositories/named-version.ts';
import { versionHref } from '../repositories/version-response.ts';
import { DISTRIBUTION_CHANNEL } from './served-distributions.ts';

const MISSING = 'Invalid hyperlink - Object does not exist.';

const resolveRepository = async (value: unknown, { request }: ResolveInput): Promise<Columns> => {
  if (value === null) return { repository_id: null };
  const located = request.services.catalog.locate(String(value));
  const row =
    located?.resource.kind === 'repositories' && located.version === undefined
      ? await visibleRow(located.resource, located.id, request)
      : undefined;
  if (!row) throw new ValidationError({ repository: [MISSING] });
  return { repository_id: row.id };
};

const resolveVersion = async (value: unknown, { request }: ResolveInput): Promise<Columns> =>
  value === null
    ? { repository_version_id: null }
    : { repository_version_id: (await namedVersion('repository_version', String(value), request)).id };

const guardHref = (row: Row): string | null =>
  row.content_guard_id ? `${collectionOf('contentguards', row.guard_type as string)}${row.content_guard_id}/` : null;

const contentGuard: Field = {
  wire: reference({ nullable: true }),
  description: 'What protects the content.',
  value: guardHref,
  resolve: async (value, { request }) => {
    if (value === null) return { content_guard_id: null };
    const located = request.services.catalog.locate(String(value));
    const row = located?.resource.kind === 'contentguards' ? await visibleRow(located.resource, located.id, request) : undefined;
    if (!row) throw new ValidationError({ content_guard: [MISSING] });
    return { content_guard_id: row.id };
  },
};

/** For kinds whose content is always guarded, by a shared guard where none is named. */
export const requiredGuard: Field = {
  ...contentGuard,
  wire: reference(),
  description: 'What protects the content; a shared guard by default.',
};

/** A rule for `validate`: a new distribution gets the shared guard where it names none. */
export async function guardByDefault({ request, columns, row }: ResolveInput): Promise<void> {
  if (!row && columns.content_guard_id === undefined) columns.content_guard_id = await contentRedirectGuard(request.services);
}

/** URL parts that would mean another path than they say, or none: empty ones, dots, blanks, queries, schemes. */
const UNCANONICAL = /^\/|\/$|\/\/|(^|\/)\.{1,2}(\/|$)|[\s?#]/;

/** Throws ValidationError for a path that is not in canonical form. */
export function checkRelativePath(field: string, path: string): void {
  if (UNCANONICAL.test(path)) throw new ValidationError({ [field]: [`Relative path is not in canonical form. ${path}`] });
}

/** The path under which content is served; `check` throws ValidationError for those that a kind does not take. */
export const basePath = (check?: (path: string) => void): Field => ({
  wire: text(),
  required: true,
  unique: true,
  description: 'Path under which the content is served.',
  resolve: (value) => {
    checkRelativePath('base_path', String(value));
    check?.(String(value));
    return { base_path: value };
  },
});

/** Where kinds that serve files in the content app do so. */
export const baseUrl: Field = {
  wire: described({ type: 'string' }),
  access: 'read',
  description: 'URL under which the content is served.',
  value: (row, services) => `${services.config.PULP_CONTENT_ORIGIN}/pulp/content/${row.base_path}/`,
};

/** The fields of every distribution (spec: registry, container distribution). */
export const distributionFields: Fields = {
  ...timeFields,
  base_path: basePath(),
  content_guard: contentGuard,
  content_guard_prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name of the content guard.',
    value: (row, { catalog }) =>
      row.content_guard_id
        ? `prn:${prnType(catalog.ofType('contentguards', row.guard_type as string))}:${row.content_guard_id}`
        : null,
  },
  no_content_change_since: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Since when the served content is the same; null unless a version is pinned.',
    value: (row) => row.version_updated ?? null,
  },
  hidden: { wire: bool(), default: false, description: 'Whether it is left out of listings.' },
  pulp_labels: { wire: labels(), description: 'Labels: text by key.' },
  name: {
    wire: text(),
    required: true,
    unique: true,
    lookups: NAME_LOOKUPS,
    description: 'A unique name for this distribution.',
  },
  repository: {
    wire: reference({ nullable: true }),
    description: 'The repository of which the latest version is served.',
    value: (row) =>
      row.repository_id ? `${collectionOf('repositories', row.repository_type as string)}${row.repository_id}/` : null,
    resolve: resolveRepository,
  },
  repository_version: {
    wire: reference({ nullable: true }),
    description: 'The one version that is served.',
    value: (row) =>
      row.repository_version_id
        ? versionHref(row.version_type as string, row.version_repository_id as string, row.version_number as number)
        : null,
    resolve: resolveVersion,
  },
};

export const distributionColumns = sql`m.*, r.pulp_type as repository_type, v.number as version_number, v.repository_id as version_repository_id,
  vr.pulp_type as version_type, v.pulp_last_updated as version_updated, g.pulp_type as guard_type`;
export const distributionJoins = sql`left join repository r on r.id = m.repository_id left join repository_version v on v.id = m.repository_version_id
  left join repository vr on vr.id = v.repository_id left join content_guard g on g.id = m.content_guard_id`;

const columns = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `m.${name}`]));

export const DISTRIBUTION_ORDERING: Readonly<Record<string, string | null>> = {
  ...columns(['base_path', 'hidden', 'name', 'pulp_created', 'pulp_labels', 'pulp_last_updated', 'pulp_type']),
  checkpoint: null,
  pk: 'm.id',
  pulp_id: 'm.id',
};

const REPOSITORY = { label: 'repository', of: ({ kind }: Resource) => kind === 'repositories' };
const like = (value: string): string => `%${value.replace(/[\\%_]/g, '\\$&')}%`;
const servesContent = (id: string) => sql`exists (
  select 1 from repository_content rc where rc.content_id = ${id}::uuid and (
    (rc.repository_id = m.repository_id and rc.version_removed is null)
    or (rc.repository_id = v.repository_id and rc.version_added <= v.number and (rc.version_removed is null or rc.version_removed > v.number))))`;

export const DISTRIBUTION_FILTERS: Readonly<Record<string, Filter>> = {
  base_path: conditionFilter((value) => sql`m.base_path = ${value}`),
  base_path__contains: conditionFilter((value) => sql`m.base_path like ${like(value)}`),
  base_path__icontains: conditionFilter((value) => sql`m.base_path ilike ${like(value)}`),
  base_path__in: listFilter((values) => sql`m.base_path = any(${values})`),
  // No distribution of these kinds serves checkpoints, so the column is a constant.
  checkpoint: booleanFilter('false'),
  repository: relatedFilter(REPOSITORY, (id) => sql`m.repository_id = ${id}::uuid`),
  repository__in: relatedListFilter(REPOSITORY, (ids) => sql`m.repository_id = any(${ids}::uuid[])`),
  with_content: withContent(servesContent, 'URI not valid: '),
  pulp_label_select: labelFilter(),
};

/** Rules across fields: one of repository and version; a base path that is free. */
export async function validateDistribution({ request, columns: given, row }: ResolveInput): Promise<void> {
  const merged = { ...row, ...given };
  if (merged.repository_id && merged.repository_version_id) {
    throw new ValidationError({
      non_field_errors: ["Only one of the attributes 'repository' and 'repository_version' may be used simultaneously."],
    });
  }
  if (given.base_path !== undefined && given.base_path !== row?.base_path)
    await checkOverlap(request.services.db, given.base_path as string, row ? [row.id] : []);
}

/** Base paths may not lie inside each other (spec: registry), those of the distributions `but` excepted. */
async function checkOverlap(tx: Queryable, basePath: string, but: readonly string[]): Promise<void> {
  const prefixes = basePath.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
  const [overlap] = await tx.query(sql`
    select 1 from distribution where (base_path = any(${prefixes}) or starts_with(base_path, ${`${basePath}/`}))
    and id <> all(${but}::uuid[]) limit 1`);
  if (overlap) throw new ValidationError({ base_path: { base_path: 'Overlaps with an existing distribution.' } });
}

/**
 * The store of a kind of distribution: two that are made at once cannot overlap, unless the column `within` of a new one names the
 * other.
 */
export function distributionStore({
  within,
  ...options
}: Omit<TableStoreOptions, 'master' | 'channel'> & { readonly within: string | undefined }): Store {
  const store = tableStore({ ...options, master: 'distribution', channel: DISTRIBUTION_CHANNEL });
  const guarded = async (tx: Queryable, columns: Columns, but: readonly string[]) => {
    if (columns.base_path === undefined) return;
    await tx.query(sql`select pg_advisory_xact_lock(hashtext('distribution.base_path'))`);
    await checkOverlap(tx, columns.base_path as string, but);
  };
  return {
    ...store,
    async insert(tx, row) {
      const outer = within === undefined ? undefined : row.columns[within];
      await guarded(tx, row.columns, typeof outer === 'string' ? [row.id, outer] : [row.id]);
      await store.insert(tx, row);
    },
    async update(tx, id, columns) {
      await guarded(tx, columns, [id]);
      await store.update(tx, id, columns);
    },
  };
}
