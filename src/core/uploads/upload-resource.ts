import { insertRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import { callerOf } from '../../kit/api.ts';
import { ASYNC_RESPONSE, responseComponent } from '../../kit/components.ts';
import { type Action, defineResource, type Fields, type Resource, type Store } from '../../kit/define-resource.ts';
import { ApiError } from '../../kit/errors.ts';
import { prnOf } from '../../kit/names.ts';
import { allow, may, mayAnywhere, OWNED_AND_VIEWED, ownerGets, ROLE_ACTIONS, SCOPED } from '../../kit/policy.ts';
import { baseFields, serialize, wantedFields } from '../../kit/serialize.ts';
import { tableStore } from '../../kit/store.ts';
import { described, integer, text } from '../../kit/wire.ts';
import { roleActions } from '../access/role-actions.ts';
import { chunksOf, releaseChunks, removeChunksLater } from './chunk-files.ts';
import { commitUpload } from './commit-upload.ts';
import { CHUNK_FIELDS, CONTENT_RANGE, receiveChunk } from './receive-chunk.ts';

const place = { kind: 'uploads', plugin: 'core', endpoint: '', model: 'Upload' } as const;

/** 429: who has so many uploads open commits or deletes some of them first (security rule 12). */
class TooManyUploadsError extends ApiError {
  override readonly name = 'TooManyUploadsError';
  readonly status = 429;
  readonly body: { readonly detail: string };
  constructor(limit: number) {
    super(`You have ${limit} uploads open, which is the limit. Commit or delete some of them.`);
    this.body = { detail: this.message };
  }
}

const fields: Fields = {
  ...baseFields(place),
  size: {
    wire: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    required: true,
    description: 'Size of the whole file in bytes.',
    lookups: ['exact', 'gt', 'lt', 'range'],
  },
  completed: {
    wire: described({ type: 'string', format: 'date-time' }),
    access: 'read',
    description: 'When it was committed. Never answered: a committed upload is gone.',
    value: () => undefined,
  },
};

const number = { type: 'integer', format: 'int64', readOnly: true };
const detailFields: Fields = {
  ...fields,
  chunks: {
    wire: described({ type: 'array', items: { type: 'object', properties: { offset: number, size: number } } }),
    access: 'read',
    description: 'The chunks that have come: where each begins, and its length; bytes.',
  },
};

/** `UploadResponse`, also of a chunk that was taken. */
const answered = responseComponent('Upload', fields);

const read: Action = {
  method: 'get',
  suffix: '',
  summary: 'Inspect an upload',
  responses: [{ status: 200, component: responseComponent('UploadDetail', detailFields) }],
  async run({ request, row }) {
    const detail: Resource = { ...upload, fields: detailFields };
    const wanted = wantedFields(detail, request);
    const chunks = await chunksOf(request.services.db, row.id);
    const inOrder = chunks.sort((a, b) => a.offset - b.offset).map(({ offset, size }) => ({ offset, size }));
    return { status: 200, body: serialize(detail, { ...row, chunks: inOrder }, request.services, wanted) };
  },
};

const update: Action = {
  method: 'put',
  suffix: '',
  summary: 'Upload a chunk of a file',
  takesFiles: true,
  parameters: [CONTENT_RANGE],
  body: { component: 'UploadChunk', fields: CHUNK_FIELDS },
  responses: [{ status: 200, component: answered }],
  async run({ request, row }) {
    await receiveChunk(request, row);
    return { status: 200, body: serialize(upload, row, request.services) };
  },
};

const remove: Action = {
  method: 'delete',
  suffix: '',
  summary: 'Delete an upload',
  responses: [{ status: 204 }],
  async run({ request: { services }, row }) {
    const released = await services.db.transaction(async (tx) => {
      const ids = await releaseChunks(tx, row.id);
      await tx.execute(sql`delete from upload where id = ${row.id}::uuid`);
      return ids;
    });
    await removeChunksLater(services, released);
    return { status: 204 };
  },
};

const commit: Action = {
  method: 'post',
  summary: 'Make an artifact of an upload',
  body: {
    component: 'UploadCommit',
    fields: { sha256: { wire: text(), required: true, description: 'The sha256 of the whole file; checked.' } },
  },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, row, body }) {
    const task = await request.dispatch(
      commitUpload,
      { upload_id: row.id, sha256: body.sha256 as string },
      { exclusive: [prnOf('core', 'Upload', row.id)] },
    );
    return { status: 202, body: { task: task.href } };
  },
};

/** Inserts of one user wait for each other, so that none of them counts too few. `open_limit` is no column. */
const store: Store = {
  ...tableStore({ master: 'upload', counted: ['core.Upload'] }),
  async insert(tx, { id, domain_id, columns: { created_by_id, open_limit, size } }) {
    await tx.query(sql`select pg_advisory_xact_lock(hashtext(${`uploads of ${created_by_id}`}))`);
    const [open] = await tx.query<{ count: number }>(
      sql`select count(*) as count from upload where created_by_id = ${created_by_id}::int and completed is null`,
    );
    if (open && open.count >= Number(open_limit)) throw new TooManyUploadsError(Number(open_limit));
    await insertRow(tx, 'upload', { id, domain_id, size, created_by_id });
  },
};

/** A file on its way in, chunk by chunk. */
export const upload: Resource = defineResource({
  ...place,
  title: ['upload', 'uploads'],
  description: 'A file that comes in chunks, and becomes an artifact when it is committed.',
  fields,
  ordering: {
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    size: 'm.size',
  },
  policy: {
    statements: [
      allow(['list', 'retrieve', 'my_permissions']),
      allow(['create'], mayAnywhere('core.add_upload')),
      allow(['update', 'partial_update', 'commit'], may('core.change_upload')),
      allow(['destroy'], may('core.delete_upload')),
      allow(ROLE_ACTIONS, may('core.manage_roles_upload')),
    ],
    creation_hooks: ownerGets('core.upload_owner'),
    queryset_scoping: SCOPED,
  },
  roles: OWNED_AND_VIEWED,
  verbs: ['list', 'create'],
  mutation: { create: 'sync' },
  actions: { read, update, delete: remove, commit, ...roleActions },
  async validate({ request, columns }) {
    columns.created_by_id = callerOf(request).id;
    columns.open_limit = request.services.config.DECKLE_UPLOADS_PER_USER;
  },
  store,
  only: sql`m.completed is null`,
  select: sql`m.*`,
  from: sql`upload m`,
});
