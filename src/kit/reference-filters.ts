import type { Sql } from '../db/sql.ts';
import type { ApiRequest } from './api.ts';
import type { Resource } from './define-resource.ts';
import { RequestRefusedError } from './errors.ts';
import type { Filter } from './filters.ts';
import { isUuid } from './names.ts';
import { malformedReference } from './references.ts';

const RELATED = { badId: 'UUID invalid', neither: "URI couldn't be resolved" };

export interface RelatedFilterOptions {
  /** What messages call the other row: `task_group`. */
  readonly label: string;
  /** Whether the other row may be of this resource. */
  readonly of: (resource: Resource) => boolean;
  /** `null` asks for rows without another; an empty value asks for nothing. */
  readonly nullable?: true;
}

/** The id that an href or PRN names. Throws RequestRefusedError in the recorded words; whether there is such a row is not asked. */
function relatedId(value: string, { label, of }: RelatedFilterOptions, { services }: ApiRequest): string {
  if (value === '') throw new RequestRefusedError(`No value supplied for ${label} filter.`);
  const located = services.catalog.locate(value);
  if (!located || !isUuid(located.id)) throw new RequestRefusedError(malformedReference(value, services, RELATED));
  if (!of(located.resource) || located.version !== undefined)
    throw new RequestRefusedError(`URI/PRN is not a valid href for ${label} model: ${value}`);
  return located.id;
}

/**
 * Rows by another row that they name: `where` is the condition for its id, null being that of rows without one. Bad values are
 * answered with a bare list (spec: core, shaping and filtering).
 */
export const relatedFilter = (options: RelatedFilterOptions, where: (id: string | null) => Sql): Filter => ({
  json: { type: 'string' },
  ...(options.nullable ? {} : { refusesEmpty: true as const }),
  where: (values, request) => {
    const value = values.at(-1) ?? '';
    return where(options.nullable && value === 'null' ? null : relatedId(value, options, request));
  },
});

/** The same for a comma list of other rows. */
export const relatedListFilter = (options: RelatedFilterOptions, where: (ids: readonly string[]) => Sql): Filter => ({
  json: { type: 'array', items: { type: 'string' } },
  refusesEmpty: true,
  where: (values, request) => where((values.at(-1) ?? '').split(',').map((value) => relatedId(value.trim(), options, request))),
});
