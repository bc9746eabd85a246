import { raw, type Sql, sql } from '../../db/sql.ts';
import type { ApiRequest, Caller } from '../../kit/api.ts';
import { responseComponent } from '../../kit/components.ts';
import { type Action, defineResource, type Field, type Fields, type Resource } from '../../kit/define-resource.ts';
import { PermissionDeniedError } from '../../kit/errors.ts';
import { conditionFilter } from '../../kit/filters.ts';
import { API_ROOT, artifactHref } from '../../kit/names.ts';
import { visibleRow } from '../../kit/references.ts';
import { baseFields, serialize } from '../../kit/serialize.ts';
import { described } from '../../kit/wire.ts';
import { CHECKSUM_NAMES } from '../../lib/checksums.ts';
import { contentOfVersion, minutesAgo } from '../content/content-filters.ts';
import { UPLOAD_FIELDS, uploadArtifact } from './upload-artifact.ts';

const place = { kind: 'artifacts', plugin: 'core', endpoint: '', model: 'Artifact' } as const;

const checksum = (name: (typeof CHECKSUM_NAMES)[number]): Field => ({
  wire: described({ type: ['string', 'null'] }),
  description: `The file's ${name}, where that digest is computed.`,
});

const ofVersion = async (value: string, request: ApiRequest) =>
  sql`m.id in (select c.artifact_id from content c where c.id in (${await contentOfVersion(value, request)}))`;

const fields: Fields = {
  ...baseFields(place),
  file: { wire: described({ type: 'string' }), required: true, description: 'Its path in the storage.' },
  size: { wire: described({ type: 'integer', format: 'int64' }), description: 'Its size in bytes.' },
  ...Object.fromEntries(CHECKSUM_NAMES.map((name) => [name, checksum(name)])),
};

/** Files that a task of the caller has made: of his own uploads. */
const madeBy = (caller: Caller): Sql => sql`exists (select from task t where t.created_by_id = ${caller.id}::int
  and t.created_resources @> array[${`${API_ROOT}artifacts/`}::text || m.id || '/'])`;

/** A file is taken as it comes: the request may be as large as the storage. */
const create: Action = {
  method: 'post',
  on: 'collection',
  suffix: '',
  summary: 'Upload a file',
  takesFiles: true,
  body: { component: 'Artifact', fields: UPLOAD_FIELDS },
  responses: [{ status: 201, component: responseComponent('Artifact', fields) }],
  async run({ request }) {
    const id = await uploadArtifact(request);
    const row = await visibleRow(artifact, id, request);
    if (!row) throw new Error(`artifact ${id} is not there after its upload`);
    return { status: 201, headers: { location: artifactHref(id) }, body: serialize(artifact, row, request.services) };
  },
};

/** Nobody may: content rests on stored files. Those that nothing needs go with an orphan cleanup. */
const remove: Action = {
  method: 'delete',
  suffix: '',
  summary: 'Delete a file',
  responses: [{ status: 204 }],
  run: () => Promise.reject(new PermissionDeniedError()),
};

/** A stored file. */
export const artifact: Resource = defineResource({
  ...place,
  title: ['artifact', 'artifacts'],
  description: 'A stored file, named by its digests.',
  fields,
  filters: {
    ...Object.fromEntries(
      CHECKSUM_NAMES.map((name) => [name, conditionFilter((value) => sql`m.${raw(name)} = ${value.toLowerCase()}`)]),
    ),
    orphaned_for: conditionFilter(
      (value, request) =>
        sql`(m.pulp_created < ${minutesAgo(value, request)} and not exists (select 1 from content c where c.artifact_id = m.id))`,
      { type: 'number' },
    ),
    repository_version: { ...conditionFilter(ofVersion), refusesEmpty: true },
  },
  ordering: {
    ...Object.fromEntries(
      [...CHECKSUM_NAMES, 'file', 'size', 'pulp_created', 'pulp_last_updated'].map((name) => [name, `m.${name}`]),
    ),
    pk: 'm.id',
    pulp_id: 'm.id',
    timestamp_of_interest: 'm.pulp_created',
  },
  policy: { statements: [{ action: ['create', 'list', 'retrieve'], effect: 'allow', principal: 'admin' }] },
  named: async ({ caller }) => madeBy(caller),
  verbs: ['list', 'read'],
  actions: { create, delete: remove },
  select: sql`m.*`,
  from: sql`artifact m`,
  counted: { table: 'artifact' },
});
