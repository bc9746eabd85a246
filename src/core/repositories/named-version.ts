import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { ValidationError } from '../../kit/errors.ts';
import { isUuid, parseReference } from '../../kit/names.ts';
import { noMatch, visibleRow } from '../../kit/references.ts';

/** A version that a request names. */
export interface NamedVersion {
  readonly id: string;
  readonly number: number;
  readonly repository_id: string;
  /** The repository's. */
  readonly pulp_type: string;
}

/** The version that an href or PRN in a body names, of a repository that the caller may see. Throws ValidationError under the field's name. */
export async function namedVersion(field: string, value: string, request: ApiRequest): Promise<NamedVersion> {
  const refuse = (message: string) => new ValidationError({ [field]: [message] });
  const named = parseReference(value);
  if (!named) throw refuse(noMatch(value));
  const { db, catalog } = request.services;
  const isPrn = named.by === 'prn';
  if (isPrn ? named.type !== 'core.repositoryversion' : named.version === undefined)
    throw refuse(isPrn ? 'Invalid hyperlink - Object does not exist.' : 'Invalid hyperlink - Incorrect URL match.');
  const where = isPrn
    ? sql`v.id = ${isUuid(named.id) ? named.id : null}::uuid`
    : sql`v.repository_id = ${named.id}::uuid and v.number = ${named.version}::int`;
  const [version] = await db.query<NamedVersion>(sql`
    select v.id, v.number, v.repository_id, r.pulp_type from repository_version v join repository r on r.id = v.repository_id where ${where}`);
  const repository =
    version &&
    (await visibleRow(catalog.resource(`repositories/${version.pulp_type.replace('.', '/')}`), version.repository_id, request));
  if (!version || !repository) throw refuse('Invalid hyperlink - Object does not exist.');
  return version;
}
