import { z } from 'zod';
import { updateRow } from '../../db/rows.ts';
import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { responseComponent } from '../../kit/components.ts';
import { type Action, defineResource, type Field, type Fields, type Resource, type Row } from '../../kit/define-resource.ts';
import { NotFoundError, ValidationError } from '../../kit/errors.ts';
import { NAME_LOOKUPS } from '../../kit/filters.ts';
import type { Policy, Statement } from '../../kit/policy.ts';
import { visibleRow } from '../../kit/references.ts';
import { baseFields, serialize } from '../../kit/serialize.ts';
import type { Services } from '../../kit/services.ts';
import { described, dictionary, list } from '../../kit/wire.ts';
import { ROLES_FOR_CREATOR } from './access.ts';
import { ConditionSyntaxError, conditionNames } from './condition-expression.ts';
import { POLICY_CHANNEL } from './policies.ts';
import { ruleOf } from './statements.ts';

const place = { kind: 'access_policies', plugin: 'core', endpoint: '', model: 'AccessPolicy' } as const;

/** What the code declares for a policy's row. Throws where a plugin that declared it is gone. */
function declared(row: Row, { catalog }: Services): { readonly resource: Resource; readonly policy: Policy } {
  const resource = catalog.resource(String(row.viewset_name));
  if (!resource.policy) throw new Error(`${row.viewset_name} declares no policy`);
  return { resource, policy: resource.policy };
}

const words = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const statement = z.looseObject({
  action: words,
  effect: z.enum(['allow', 'deny']),
  principal: words,
  condition: words.optional(),
  condition_expression: words.optional(),
});
const namedFunction = z.looseObject({ function: z.string(), parameters: z.record(z.string(), z.unknown()).nullish() });

/** Throws ValidationError for statements that could not be evaluated: better here than at every request that they are about. */
function checkStatements(value: unknown, { services }: ApiRequest): readonly Statement[] {
  const items = value as unknown[];
  const errors: { [index: string]: string[] } = {};
  items.forEach((item, index) => {
    const problem = statementProblem(item, services);
    if (problem !== undefined) errors[String(index)] = [problem];
  });
  if (Object.keys(errors).length > 0) throw new ValidationError({ statements: errors });
  return items as Statement[];
}

function statementProblem(item: unknown, { access }: Services): string | undefined {
  const parsed = statement.safeParse(item);
  if (!parsed.success) return parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  try {
    const names = ruleOf(parsed.data as Statement).conditions.flatMap(conditionNames);
    const unknown = names.find((name) => !access.hasCondition(name));
    return unknown === undefined ? undefined : `There is no condition '${unknown}'.`;
  } catch (error) {
    if (error instanceof ConditionSyntaxError) return `The condition is not well-formed: ${error.message}.`;
    throw error;
  }
}

/** Throws ValidationError for hooks that do nothing, or give roles that are not there. */
async function checkHooks(name: string, value: unknown, { services }: ApiRequest): Promise<unknown> {
  const refuse = (message: string) => new ValidationError({ [name]: [message] });
  const hooks = z.array(namedFunction).safeParse(value);
  if (!hooks.success) throw refuse('Expected a list of objects with "function" and "parameters".');
  for (const hook of hooks.data) {
    if (hook.function !== ROLES_FOR_CREATOR) throw refuse(`There is no creation hook '${hook.function}'.`);
    const roles = [hook.parameters?.roles ?? []].flat();
    const rows = await services.db.query<{ name: string }>(
      sql`select name from role where name = any(${roles.map(String)}::text[])`,
    );
    const lost = roles.find((role) => !rows.some((row) => row.name === role));
    if (lost !== undefined) throw refuse(`Object with name=${lost} does not exist.`);
  }
  return hooks.data;
}

const hooksField = (name: string, description: string): Field => ({
  wire: list(dictionary()),
  description,
  value: (row, services) => row.creation_hooks ?? declared(row, services).policy.creation_hooks ?? null,
  resolve: async (value, { request }) => ({ creation_hooks: await checkHooks(name, value, request) }),
});

const fields: Fields = {
  ...baseFields(place),
  permissions_assignment: hooksField('permissions_assignment', 'The same as creation_hooks, by its old name.'),
  creation_hooks: hooksField('creation_hooks', 'What happens to a new object: its creator gets roles on it.'),
  statements: {
    wire: list(dictionary()),
    required: true,
    description: 'Rules: who may take which action, under which conditions.',
    value: (row, services) => row.statements ?? declared(row, services).policy.statements,
    resolve: (value, { request }) => ({ statements: checkStatements(value, request) }),
  },
  viewset_name: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'The path that the policy is about.',
    lookups: NAME_LOOKUPS,
  },
  customized: {
    wire: described({ type: 'boolean' }),
    access: 'read',
    description: 'Whether it was changed.',
    lookups: ['exact'],
  },
  queryset_scoping: {
    wire: dictionary(),
    description: 'Which rows a caller sees at all; empty: every row.',
    value: (row, services) => row.queryset_scoping ?? declared(row, services).policy.queryset_scoping ?? null,
    resolve: (value, { request, row }) => {
      const scoping = value as Record<string, unknown>;
      if (Object.keys(scoping).length === 0) return { queryset_scoping: scoping };
      const { services } = request;
      const resource = row && declared(row, services).resource;
      const named = namedFunction.safeParse(scoping);
      if (!named.success || (resource && !services.access.scopeOf(resource, named.data.function)))
        throw new ValidationError({ queryset_scoping: [`There is no scope '${scoping.function}' for this path.`] });
      return { queryset_scoping: scoping };
    },
  },
};

const UNCHANGED = { statements: null, creation_hooks: null, queryset_scoping: null, customized: false };

const reset: Action = {
  method: 'post',
  summary: 'Reset an access policy to what it was',
  responses: [{ status: 200, component: responseComponent('AccessPolicy', fields) }],
  async run({ request, row }) {
    const { db } = request.services;
    await db.transaction(async (tx) => {
      await updateRow(tx, 'access_policy', row.id, { ...UNCHANGED, pulp_last_updated: sql`clock_timestamp()` });
      await tx.query(sql`select pg_notify(${POLICY_CHANNEL}, ${String(row.viewset_name)})`);
    });
    const after = await visibleRow(accessPolicy, row.id, request);
    if (!after) throw new NotFoundError(accessPolicy.model);
    return { status: 200, body: serialize(accessPolicy, after, request.services) };
  },
};

/** Who may do what with a resource: read, changed and reset by administrators (spec: rbac, access policies). */
export const accessPolicy: Resource = defineResource({
  ...place,
  title: ['access policy', 'access policies'],
  description: 'An access policy: who may do what with a resource.',
  fields,
  ordering: {
    creation_hooks: null,
    customized: 'm.customized',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    queryset_scoping: null,
    statements: null,
    viewset_name: 'm.viewset_name',
  },
  global: true,
  verbs: ['list', 'read', 'update', 'partial_update'],
  mutation: { update: 'sync' },
  actions: { reset },
  select: sql`m.*`,
  from: sql`access_policy m`,
  store: {
    insert: () => Promise.reject(new Error('policies are declared, not made')),
    async update(tx, id, columns) {
      await updateRow(tx, 'access_policy', id, { ...columns, customized: true, pulp_last_updated: sql`clock_timestamp()` });
      await tx.query(sql`select pg_notify(${POLICY_CHANNEL}, ${id})`);
    },
    delete: () => Promise.reject(new Error('policies are reset, not deleted')),
  },
});
