import type { Sql } from '../db/sql.ts';
import type { ApiRequest } from './api.ts';
import type { Resource } from './define-resource.ts';
import { RequestRefusedError } from './errors.ts';
import type { Filter } from './filters.ts';
import { isUuid } from './names.ts';

const PRN = /^prn:[^.:]+\.[^.:]+:([^:]+)$/;
const MEMBER = /^(?:https?:\/\/[^/]+)?(\/.*\/)([^/]+)\/$/;

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
  if (located && of(located.resource) && located.version === undefined && isUuid(located.id)) return located.id;
  if (located && !of(located.resource)) throw new RequestRefusedError(`URI/PRN is not a valid href for ${label} model: ${value}`);
  if (value.startsWith('prn:')) {
    const id = PRN.exec(value)?.[1];
    if (id === undefined) throw new RequestRefusedError(`PRN must be of the form 'prn:app_label.model_label:pk': ${value}`);
    if (!isUuid(id)) throw new RequestRefusedError(`PK invalid: ${id}`);
    throw new RequestRefusedError(`URI/PRN is not a valid href for ${label} model: ${value}`);
  }
  const [, collection, id = ''] = MEMBER.exec(value) ?? [];
  const named = collection !== undefined && services.catalog.locate(`${collection}00000000-0000-0000-0000-000000000000/`);
  throw new RequestRefusedError(named && !isUuid(id) ? `UUID invalid: ${id}` : `URI couldn't be resolved: ${value}`);
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
