import { v7 as uuid7 } from 'uuid';
import { insertRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import { type ApiReply, type ApiRequest, type Component, callerOf } from '../../kit/api.ts';
import { noteObject } from '../../kit/audit-note.ts';
import { responseComponent } from '../../kit/components.ts';
import { UNIQUE_MESSAGE } from '../../kit/conflicts.ts';
import { type Action, defineResource, type Fields } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { conditionFilter, NAME_LOOKUPS, TIME_LOOKUPS } from '../../kit/filters.ts';
import { userHref } from '../../kit/names.ts';
import { allow } from '../../kit/policy.ts';
import { resolveReference } from '../../kit/references.ts';
import { baseFields, serialize } from '../../kit/serialize.ts';
import { datetime, described, reference, text } from '../../kit/wire.ts';
import { newApiToken } from './api-token.ts';
import { user } from './user-resource.ts';

const place = { kind: 'api-tokens', plugin: 'core', endpoint: '', model: 'ApiToken' } as const;
const MAX_NAME = 150;
/** Of one user; who needs more has forgotten some. */
const MAX_TOKENS = 100;

const fields: Fields = {
  ...baseFields(place),
  name: {
    wire: text({ max: MAX_NAME }),
    required: true,
    description: 'What the token is for; each of a user has another name.',
    lookups: NAME_LOOKUPS,
  },
  user: {
    wire: reference(),
    description: 'Whose password it stands for; default: who makes it. Administrators make tokens for others.',
    value: ({ user_id }) => userHref(user_id as number),
  },
  expires_at: {
    wire: datetime({ nullable: true }),
    description: 'When it stops being good; null: never.',
    lookups: TIME_LOOKUPS,
  },
  last_used_at: {
    wire: described({ type: ['string', 'null'], format: 'date-time' }),
    access: 'read',
    description: 'When it was last used, to the minute.',
    lookups: TIME_LOOKUPS,
  },
};

const CREATED: Component = responseComponent('ApiTokenCreated', {
  ...fields,
  token: { wire: described({ type: 'string' }), access: 'read', description: 'The token. It is told now and never again.' },
});

/** The number of the user that a body names. Throws ValidationError for one that the caller does not see. */
async function ownerOf(request: ApiRequest, given: unknown): Promise<number> {
  const { id } = callerOf(request);
  if (given === undefined || given === userHref(id)) return id;
  const { row } = await resolveReference('user', String(given), [user], request);
  return Number(row.id);
}

function checkExpiry({ services }: ApiRequest, value: unknown): void {
  if (typeof value === 'string' && new Date(value) <= services.clock())
    throw new ValidationError({ expires_at: ['This is in the past.'] });
}

async function create(request: ApiRequest, body: Record<string, unknown>): Promise<ApiReply> {
  const { services } = request;
  checkExpiry(request, body.expires_at);
  const owner = await ownerOf(request, body.user);
  const { secret, hash } = newApiToken();
  const id = uuid7();
  await services.db.transaction(async (tx) => {
    // Two at once would both find a free name, or the last free place.
    await tx.query(sql`select from app_user where id = ${owner} for update`);
    const [has] = await tx.query<{ count: number; taken: boolean }>(sql`
      select count(*) as count, coalesce(bool_or(name = ${body.name}), false) as taken from api_token where user_id = ${owner}`);
    if (has?.taken) throw new ValidationError({ name: [UNIQUE_MESSAGE] });
    if (has && has.count >= MAX_TOKENS)
      throw new ValidationError({
        non_field_errors: [`The user has ${MAX_TOKENS} tokens; revoke some that are no longer needed.`],
      });
    const { name, expires_at = null } = body;
    await insertRow(tx, 'api_token', { id, user_id: owner, name, expires_at, secret_hash: hash });
  });
  noteObject(request, apiToken, id);
  const [row] = await services.db.query<{ id: string }>(sql`select m.* from api_token m where m.id = ${id}::uuid`);
  if (!row) throw new Error(`API token ${id} is gone before it was told`);
  const answer = serialize(apiToken, row, services);
  return {
    status: 201,
    headers: { location: String(answer.pulp_href), 'cache-control': 'no-store' },
    body: { ...answer, token: secret },
  };
}

const createAction: Action = {
  method: 'post',
  on: 'collection',
  suffix: '',
  summary: 'Create an API token',
  body: { component: 'ApiToken', fields },
  responses: [{ status: 201, component: CREATED }],
  run: ({ request, body }) => create(request, body),
};

const revokeAction: Action = {
  method: 'delete',
  suffix: '',
  summary: 'Revoke an API token',
  responses: [{ status: 204 }],
  async run({ request, row }) {
    await request.services.db.execute(sql`delete from api_token where id = ${row.id}::uuid`);
    return { status: 204 };
  },
};

/** Secrets that stand for a user's password, for robots. A user sees and revokes his own, administrators all. */
export const apiToken = defineResource({
  ...place,
  title: ['API token', 'API tokens'],
  description: 'A secret that stands for the password of a user, for robots. It can be revoked by deleting it.',
  fields,
  filters: {
    user: conditionFilter(
      (value) => sql`m.user_id::text = ${/\/users\/(\d{1,9})\/$/.exec(value)?.[1] ?? value.replace(/^prn:auth\.user:/, '')}`,
    ),
  },
  ordering: {
    expires_at: 'm.expires_at',
    last_used_at: 'm.last_used_at',
    name: 'm.name',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_last_updated: 'm.pulp_last_updated',
  },
  verbs: ['list', 'read'],
  policy: {
    statements: [allow(['list', 'retrieve', 'create', 'destroy'])],
    queryset_scoping: { function: 'own_api_tokens' },
  },
  scopes: { own_api_tokens: async ({ caller }) => sql`m.user_id = ${caller.id}` },
  global: true,
  actions: { create: createAction, delete: revokeAction },
  select: sql`m.id, m.user_id, m.name, m.expires_at, m.last_used_at, m.pulp_created, m.pulp_last_updated`,
  from: sql`api_token m`,
});
