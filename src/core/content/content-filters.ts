import { raw, type Sql, sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { lastOf } from '../../kit/body.ts';
import { RequestRefusedError } from '../../kit/errors.ts';
import { conditionFilter, type Filter, FilterError, listFilter } from '../../kit/filters.ts';
import { labelFilter } from '../../kit/labels.ts';
import { isUuid, parseReference } from '../../kit/names.ts';
import { noReference } from '../../kit/references.ts';

/** A version of a repository, by the two columns that name it. */
interface VersionKey {
  readonly repository_id: string;
  readonly number: number;
}

const refuse = (value: string): RequestRefusedError => new RequestRefusedError(noReference(value));

/** The id of the content that an href or PRN names. Throws RequestRefusedError for anything else. */
export function contentId(value: string, request: ApiRequest): string {
  const located = request.services.catalog.locate(value);
  if (!located || !isUuid(located.id)) throw refuse(value);
  return located.id;
}

/** The version that a version's href or PRN names, or the latest of the repository that it names; undefined where there is none. */
async function versionKey(value: string, request: ApiRequest): Promise<VersionKey | undefined> {
  if (value === '') throw new RequestRefusedError('No value supplied for repository version filter');
  const reference = parseReference(value);
  if (!reference || !isUuid(reference.id)) throw refuse(value);
  const { db } = request.services;
  if (reference.by === 'prn' && reference.type === 'core.repositoryversion') {
    const [row] = await db.query<VersionKey>(
      sql`select repository_id, number from repository_version where id = ${reference.id}::uuid`,
    );
    return row;
  }
  if (reference.by === 'href' && reference.version !== undefined) return existing(request, reference.id, reference.version);
  if (!request.services.catalog.locate(value)?.resource.kind.startsWith('repositories')) throw refuse(value);
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

const ofVersion = (condition: (version: VersionKey) => Sql): Filter =>
  conditionFilter(async (value, request) => {
    const version = await versionKey(value, request);
    return version ? condition(version) : sql`false`;
  });

/** A select of the content ids of the version that an href or PRN names; undefined where there is no such version. */
export async function contentOfVersion(value: string, request: ApiRequest): Promise<Sql | undefined> {
  const version = await versionKey(value, request);
  return version && presentIn(version);
}

const between = (pick: (base: VersionKey, target: VersionKey) => Sql): Filter =>
  listFilter(async (values, request) => {
    const [base, target, ...more] = values;
    if (base === undefined || target === undefined || more.length > 0)
      throw new FilterError('Expected two repository versions, separated by a comma.');
    const [from, to] = [await versionKey(base, request), await versionKey(target, request)];
    return from && to ? pick(from, to) : sql`false`;
  });

/** The moment so many minutes ago; of a negative number, as long ago as orphan cleanup spares what it finds. Throws FilterError. */
export function minutesAgo(value: string, { services }: ApiRequest): Sql {
  if (!/^-?\d{1,9}(\.\d+)?$/.test(value)) throw new FilterError('Enter a number.');
  const minutes = Number(value) < 0 ? services.config.PULP_ORPHAN_PROTECTION_TIME : Number(value);
  return sql`now() - make_interval(secs => ${minutes * 60})`;
}

/** The filters of all content (spec: core, shaping and filtering). `m` is the content row. */
export const CONTENT_FILTERS: Readonly<Record<string, Filter>> = {
  repository_version: { ...ofVersion((version) => sql`m.id in (${presentIn(version)})`), refusesEmpty: true },
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
  pulp_label_select: labelFilter(),
};

/** Look-ups of what units of a kind are known by, a column of `d` that has an index with the domain. */
export const keyFilters = (name: string): Readonly<Record<'exact' | 'in', Filter>> => {
  const isOne = (values: readonly string[], { services }: ApiRequest) =>
    sql`(d.domain_id = ${services.domain.id}::uuid and d.${raw(name)} = any(${values}))`;
  return { exact: conditionFilter((value, request) => isOne([value], request)), in: listFilter(isOne) };
};

/** How many units of the type a version holds, where the list asks for just that version: counts are kept with versions. */
export const knownCount =
  (pulpType: string) =>
  async (request: ApiRequest): Promise<number | undefined> => {
    const value = lastOf(request.query, 'repository_version');
    if (!value || !request.caller?.is_superuser) return undefined;
    const version = await versionKey(value, request);
    if (!version) return undefined;
    const [row] = await request.services.db.query<{ count: number | null }>(sql`
    select (present->>${pulpType})::int as count from repository_version
    where repository_id = ${version.repository_id}::uuid and number = ${version.number}::int`);
    return row?.count ?? 0;
  };
