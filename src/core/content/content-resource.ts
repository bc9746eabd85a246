import { sql } from '../../db/sql.ts';
import type { Resource, Row } from '../../kit/define-resource.ts';
import { artifactHref, prnOf } from '../../kit/names.ts';
import { allow, SCOPED } from '../../kit/policy.ts';
import { timeFields } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { described } from '../../kit/wire.ts';
import { typeFilters } from '../generic-fields.ts';
import { UNIT_FIELDS } from './content-fields.ts';
import { CONTENT_FILTERS } from './content-filters.ts';

/** Every type that the contract names, those of other plugins included: a client may ask for any. */
const TYPES = [
  'container.blob',
  'container.manifest',
  'container.signature',
  'container.tag',
  'core.openpgp_publickey',
  'core.openpgp_publicsubkey',
  'core.openpgp_signature',
  'core.openpgp_userattribute',
  'core.openpgp_userid',
  'core.publishedmetadata',
  'file.file',
  'ostree.commit',
  'ostree.config',
  'ostree.content',
  'ostree.object',
  'ostree.refs',
  'ostree.summary',
];

const typeOf = (row: Row, services: Services) => services.catalog.contentType(row.pulp_type as string);

/** All content of all types. */
export const genericContent: Resource = {
  kind: 'content',
  plugin: 'core',
  endpoint: '',
  model: 'Content',
  component: 'MultipleArtifactContent',
  title: ['content unit', 'content units'],
  description: 'Content of every type.',
  fields: {
    pulp_href: {
      wire: described({ type: 'string', format: 'uri' }),
      access: 'read',
      description: 'Path of this unit.',
      value: (row, services) => `${typeOf(row, services).collection}${row.id}/`,
    },
    prn: {
      wire: described({ type: 'string' }),
      access: 'read',
      description: 'Pulp resource name of this unit.',
      value: (row, services) => prnOf((row.pulp_type as string).split('.')[0] as string, typeOf(row, services).model, row.id),
    },
    ...timeFields,
    ...UNIT_FIELDS,
    artifacts: {
      wire: described({ type: 'object' }),
      required: true,
      description: 'Its stored files, by name.',
      value: (row) => (row.artifact_id ? { [row.digest as string]: artifactHref(row.artifact_id as string) } : {}),
    },
  },
  filters: {
    ...CONTENT_FILTERS,
    ...typeFilters(TYPES, 'content'),
  },
  ordering: { pk: 'm.id' },
  verbs: ['list'],
  policy: { statements: [allow(['list'])], queryset_scoping: SCOPED },
  select: sql`m.*, 'sha256:' || a.sha256 as digest`,
  counted: { table: 'content' },
  from: sql`content m left join artifact a on a.id = m.artifact_id`,
};
