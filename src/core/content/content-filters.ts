import { raw, type Sql, sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { RequestRefusedError } from '../../kit/errors.ts';
import { conditionFilter, type Filter, FilterError, listFilter, rangeOf } from '../../kit/filters.ts';
import { labelFilter } from '../../kit/labels.ts';
import { isUuid, parseReference } from '../../kit/names.ts';
import { isVisible, malformedReference, visibleIds } from '../../kit/references.ts';

/** A version of a repository, by the two columns that name it. */
interface VersionKey {
  readonly repository_id: string;
  readonly number: number;
}

const refuse = (value: string, request: ApiRequest) => new RequestRefusedError(malformedReference(value, request.services));
const notFound = (value: string, model: string) => new RequestRefusedError(`URI ${value} not found for ${model}.`);

/** The ids of the content that hrefs or PRNs name; those that the caller sees, by what names them. Throws RequestRefusedError for what names nothing. */
export async function contentIds(values: readonly string[], request: ApiRequest): Promise<ReadonlyMap<string, string>> {
  const ids = new Map(
    values.map((value) => {
      const located = request.services.catalog.locate(value);
      if (!located || !isUuid(located.id)) throw refuse(value, request);
      return [value, located.id];
    }),
  );
  const known = new Set(await visibleIds(request.services.catalog.resource('content'), [...ids.values()], request));
  return new Map([...ids].filter(([, id]) => known.has(id)));
}

/** Rows by the content that an href or PRN names. `empty` is what is said where it names none. */
export const withContent = (where: (id: string) => Sql, empty = 'No value supplied for content filter'): Filter => ({
  ...conditionFilter(async (value, request) => {
    if (value === '') throw new RequestRefusedError(empty);
    const id = (await contentIds([value], request)).get(value);
    if (id === undefined) throw notFound(value, 'content');
    return where(id);
  }),
  refusesEmpty: true,
});

/** The version that a version's href or PRN names, or the latest of the repository that it names. Throws RequestRefusedError where the caller sees none. */
async function versionKey(value: string, request: ApiRequest): Promise<VersionKey> {
  if (value === '') throw new RequestRefusedError('No value supplied for repository version filter');
  const key = await namedVersion(value, request);
  const repositories = request.services.catalog.resource('repositories');
  if (key && (await isVisible(repositories, key.repository_id, request))) return key;
  const model = request.services.catalog.locate(value)?.resource;
  throw notFound(
    value,
    model?.kind === 'repositories' && !/\/versions\/\d+\/$/.test(value) ? model.model.toLowerCase() : 'repositoryversion',
  );
}

/** A number that no version has. */
const LARGE_NUMBER = /\/versions\/\d{10,}\/$/;

/** As `versionKey`; undefined where there is no such version. */
async function namedVersion(value: string, request: ApiRequest): Promise<VersionKey | undefined> {
  const reference = parseReference(value);
  if (!reference && LARGE_NUMBER.test(value)) return undefined;
  if (!reference || !isUuid(reference.id)) throw refuse(value, request);
  const { db } = request.services;
  if (reference.by === 'prn' && reference.type === 'core.repositoryversion') {
    const [row] = await db.query<VersionKey>(
      sql`select repository_id, number from repository_version where id = ${reference.id}::uuid`,
    );
    return row;
  }
  if (reference.by === 'href' && reference.version !== undefined) return existing(request, reference.id, reference.version);
  if (request.services.catalog.locate(value)?.resource.kind !== 'repositories') return undefined;
  const [latest] = await db.query<VersionKey>(
    sql`select repository_id, number from repository_version where repository_id = ${reference.id}::uuid order by number desc limit 1`,
  );
  return latest;
}

async function existing(request: ApiRequest, repositoryId: string, number: number): Promise<VersionKey | undefined> {
  const [row] = await request.services.db.query<VersionKey>(
    sql`select repository_id, number from repository_version where repository_id = ${repositoryId}::uuid and number = ${number}::int`,
  );
  return row;
}

/** The content ids of a version (spec: repositories; ARCHITECTURE: versions). */
const presentIn = (version: VersionKey): Sql => sql`
  select rc.content_id from repository_content rc where rc.repository_id = ${version.repository_id}::uuid
  and rc.version_added <= ${version.number}::int and (rc.version_removed is null or rc.version_removed > ${version.number}::int)`;

const ofVersion = (condition: (version: VersionKey) => Sql): Filter => ({
  ...conditionFilter(async (value, request) => condition(await versionKey(value, request))),
  refusesEmpty: true,
});

/** Takes a version where there is nothing to be found in any. */
export const VERSION_FILTER: Filter = ofVersion(() => sql`false`);

/** A select of the content ids of the version that an href or PRN names. */
export const contentOfVersion = async (value: string, request: ApiRequest): Promise<Sql> =>
  presentIn(await versionKey(value, request));

const between = (pick: (base: VersionKey, target: VersionKey) => Sql): Filter =>
  listFilter(async (values, request) => {
    const [base, target] = rangeOf(values);
    return pick(await versionKey(base, request), await versionKey(target, request));
  });

/** The moment so many minutes ago; of a negative number, as long ago as orphan cleanup spares what it finds. Throws FilterError. */
export function minutesAgo(value: string, { services }: ApiRequest): Sql {
  if (!/^-?\d{1,9}(\.\d+)?$/.test(value)) throw new FilterError('Enter a number.');
  const minutes = Number(value) < 0 ? services.config.PULP_ORPHAN_PROTECTION_TIME : Number(value);
  return sql`now() - make_interval(secs => ${minutes * 60})`;
}

/** How many units of the resource's type a version holds: counts are kept with versions. */
async function unitsInVersion(values: readonly string[], request: ApiRequest, { contentType }: Resource): Promise<number> {
  const version = await versionKey(values.at(-1) ?? '', request);
  const units = contentType
    ? sql`(present->>${contentType})::int`
    : sql`(select sum(count::int) from jsonb_each_text(present) as held(type, count))::int`;
  const [row] = await request.services.db.query<{ count: number | null }>(sql`
    select ${units} as count from repository_version
    where repository_id = ${version.repository_id}::uuid and number = ${version.number}::int`);
  return row?.count ?? 0;
}

/** The filters of all content (spec: core, shaping and filtering). `m` is the content row. */
export const CONTENT_FILTERS: Readonly<Record<string, Filter>> = {
  repository_version: {
    ...ofVersion((version) => sql`m.id in (${presentIn(version)})`),
    total: unitsInVersion,
    // A unit is in a version once. So the planner walks the version's own rows in order of id, and not those of all content.
    asJoin: {
      from: sql`join repository_content present on present.content_id = m.id`,
      where: async (values, request) => {
        const { repository_id, number } = await versionKey(values.at(-1) ?? '', request);
        return sql`present.repository_id = ${repository_id}::uuid and present.version_added <= ${number}::int
          and (present.version_removed is null or present.version_removed > ${number}::int)`;
      },
    },
  },
  repository_version_added: ofVersion(
    (version) =>
      sql`m.id in (select rc.content_id from repository_content rc where rc.repository_id = ${version.repository_id}::uuid and rc.version_added = ${version.number}::int)`,
  ),
  repository_version_removed: ofVersion(
    (version) =>
      sql`m.id in (select rc.content_id from repository_content rc where rc.repository_id = ${version.repository_id}::uuid and rc.version_removed = ${version.number}::int)`,
  ),
  added_between: between((base, target) => sql`m.id in (${presentIn(target)} except ${presentIn(base)})`),
  removed_between: between((base, target) => sql`m.id in (${presentIn(base)} except ${presentIn(target)})`),
  orphaned_for: conditionFilter(
    (value, request) =>
      sql`(m.last_seen < ${minutesAgo(value, request)} and not exists (select 1 from repository_content rc where rc.content_id = m.id))`,
    { type: 'number' },
  ),
  pulp_label_select: labelFilter({ sparse: true }),
};

/** Look-ups of what units of a kind are known by, a column of `d` that has an index with the domain. */
export const keyFilters = (name: string): Readonly<Record<'exact' | 'in', Filter>> => {
  const isOne = (values: readonly string[], { services }: ApiRequest) =>
    sql`(d.domain_id = ${services.domain.id}::uuid and d.${raw(name)} = any(${values}))`;
  return { exact: conditionFilter((value, request) => isOne([value], request)), in: listFilter(isOne) };
};
