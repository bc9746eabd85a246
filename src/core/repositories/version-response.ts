import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Catalog } from '../../kit/catalog.ts';
import { API_ROOT, collectionOf, versionPrn } from '../../kit/names.ts';
import type { ContentCounts } from './version-counts.ts';

/** A version's row with what its response needs of its repository and base version. */
export interface VersionRow {
  readonly id: string;
  readonly number: number;
  readonly repository_id: string;
  readonly repository_type: string;
  /** Null unless the version was built from a named one. */
  readonly base_number: number | null;
  readonly base_repository_id: string | null;
  readonly base_repository_type: string | null;
  readonly added: ContentCounts;
  readonly removed: ContentCounts;
  readonly present: ContentCounts;
  readonly pulp_created: string;
  readonly pulp_last_updated: string;
}

type Summary = Record<string, { readonly count: number; readonly href: string }>;

/** A repository version as the REST API answers it. */
export interface VersionResponse {
  readonly pulp_href: string;
  readonly prn: string;
  readonly pulp_created: string;
  readonly pulp_last_updated: string;
  readonly number: number;
  readonly repository: string;
  readonly base_version: string | null;
  readonly content_summary: { readonly added: Summary; readonly removed: Summary; readonly present: Summary };
  readonly vuln_report: string;
}

/** `container.container`, repository id, 3 -> `/pulp/api/v3/repositories/container/container/<id>/versions/3/` */
export const versionHref = (repositoryType: string, repositoryId: string, number: number): string =>
  `${collectionOf('repositories', repositoryType)}${repositoryId}/versions/${number}/`;

/** What `versionFields` needs, of the row `m` and its joins. */
export const versionColumns = sql`
  m.id, m.number, m.repository_id, r.pulp_type as repository_type, base.number as base_number,
  base.repository_id as base_repository_id, base_r.pulp_type as base_repository_type,
  m.added, m.removed, m.present, m.pulp_created, m.pulp_last_updated`;
/** Left joins, though every version has a repository: they cost nothing where rows are only counted. */
export const versionTables = sql`
  repository_version m left join repository r on r.id = m.repository_id
  left join repository_version base on base.id = m.base_version_id left join repository base_r on base_r.id = base.repository_id`;

/** The response of a row (spec: repositories, Versions). */
export function versionFields(row: VersionRow, catalog: Pick<Catalog, 'contentType'>): VersionResponse {
  const href = versionHref(row.repository_type, row.repository_id, row.number);
  const prn = versionPrn(row.id);
  const summary = (counts: ContentCounts, filter: string): Summary =>
    Object.fromEntries(
      Object.entries(counts).map(([type, count]) => [
        type,
        { count, href: `${catalog.contentType(type).collection}?${filter}=${href}` },
      ]),
    );
  return {
    pulp_href: href,
    prn,
    pulp_created: row.pulp_created,
    pulp_last_updated: row.pulp_last_updated,
    number: row.number,
    repository: `${collectionOf('repositories', row.repository_type)}${row.repository_id}/`,
    base_version:
      row.base_number === null || row.base_repository_id === null || row.base_repository_type === null
        ? null
        : versionHref(row.base_repository_type, row.base_repository_id, row.base_number),
    content_summary: {
      added: summary(row.added, 'repository_version_added'),
      removed: summary(row.removed, 'repository_version_removed'),
      present: summary(row.present, 'repository_version'),
    },
    vuln_report: `${API_ROOT}vuln_report/?repo_versions=${prn}`,
  };
}

/** The whole response of a version, or undefined where it is gone. */
export async function versionResponse(
  db: Queryable,
  catalog: Pick<Catalog, 'contentType'>,
  versionId: string,
): Promise<VersionResponse | undefined> {
  const [row] = await db.query<VersionRow>(sql`select ${versionColumns} from ${versionTables} where m.id = ${versionId}::uuid`);
  return row && versionFields(row, catalog);
}
