import { sql } from '../../db/sql.ts';
import { defineResource } from '../../kit/define-resource.ts';
import { RequestRefusedError } from '../../kit/errors.ts';
import { booleanFilter, conditionFilter, TIME_LOOKUPS } from '../../kit/filters.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { malformedReference } from '../../kit/references.ts';
import { baseFields, timeFields } from '../../kit/serialize.ts';
import { described } from '../../kit/wire.ts';
import { contentIds, VERSION_FILTER } from '../content/content-filters.ts';
import { typeFilters } from '../generic-fields.ts';

const place = { kind: 'publications', plugin: 'core', endpoint: '', model: 'Publication' } as const;
const URI = { type: 'string', format: 'uri' };

/** A filter whose value is looked at, and which leaves nothing: there is nothing. */
const refusing = (what: string, check: (value: string, request: Parameters<typeof contentIds>[1]) => Promise<unknown>) => ({
  ...conditionFilter(async (value, request) => {
    if (value === '') throw new RequestRefusedError(`No value supplied for ${what} filter`);
    await check(value, request);
    return sql`false`;
  }),
  refusesEmpty: true as const,
});

const content = refusing('content', (value, request) => contentIds(value.split(','), request));

/** No kind of content needs a publication: what is served follows from versions. The list is there for clients that look. */
export const publication = defineResource({
  ...place,
  title: ['publication', 'publications'],
  description: 'What was published. Deckle serves versions as they are, so there are none.',
  fields: {
    ...baseFields(place),
    pulp_created: { ...timeFields.pulp_created, lookups: TIME_LOOKUPS },
    repository_version: { wire: described(URI), description: 'The version that was published.' },
    repository: { wire: described(URI), description: 'The repository of that version.' },
  },
  filters: {
    checkpoint: booleanFilter('false'),
    content,
    content__in: { ...content, json: { type: 'array', items: { type: 'string' } } },
    repository: refusing('repository', async (value, { services }) => {
      if (!services.catalog.locate(value)) throw new RequestRefusedError(malformedReference(value, services));
    }),
    repository_version: VERSION_FILTER,
    ...typeFilters(['file.file']),
  },
  ordering: {
    checkpoint: null,
    complete: null,
    pass_through: null,
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    pulp_type: 'm.pulp_type',
  },
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: sql`m.*`,
  from: sql`(select null::uuid as id, null::text as pulp_type, null::timestamptz as pulp_created, null::timestamptz as pulp_last_updated,
    null::text as repository_version, null::text as repository where false) m`,
});
