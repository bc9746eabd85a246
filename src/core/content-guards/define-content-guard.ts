import { empty, raw, type Sql, sql } from '../../db/sql.ts';
import { defineResource, type Fields, type Resource, type Store } from '../../kit/define-resource.ts';
import { NAME_LOOKUPS } from '../../kit/filters.ts';
import { OWNED_AND_VIEWED } from '../../kit/policy.ts';
import { baseFields } from '../../kit/serialize.ts';
import { tableStore } from '../../kit/store.ts';
import { text } from '../../kit/wire.ts';
import { roleActions } from '../access/role-actions.ts';
import { detailColumns } from '../detail-columns.ts';
import { ALL_DISTRIBUTIONS, DISTRIBUTION_CHANNEL } from '../distributions/served-distributions.ts';
import { guardPolicy } from './guard-policy.ts';

/** What every guard has. */
export const guardFields: Fields = {
  name: { wire: text(), required: true, unique: true, lookups: NAME_LOOKUPS, description: 'A unique name for this guard.' },
  description: { wire: text({ nullable: true }), description: 'What it is for.' },
};

export const GUARD_ORDERING: Readonly<Record<string, string | null>> = {
  description: 'm.description',
  name: 'm.name',
  pk: 'm.id',
  pulp_created: 'm.pulp_created',
  pulp_id: 'm.id',
  pulp_last_updated: 'm.pulp_last_updated',
  pulp_type: 'm.pulp_type',
};

/** What makes a kind of guard another one than the rest. */
export interface ContentGuardKind
  extends Pick<Resource, 'endpoint' | 'model' | 'title' | 'description' | 'hrefParameter'>,
    Partial<Pick<Resource, 'fields' | 'policy' | 'roles'>> {
  /** Its table, `d`, and that table's own columns; absent: nothing beside what every guard has. */
  readonly detail?: { readonly table: string; readonly columns: readonly string[] };
  /** What else is selected, after a comma. */
  readonly columns?: Sql;
  /** What else is written, around the store that every kind has. */
  readonly store?: (plain: Store) => Store;
}

/** A kind of content guard, changed and deleted at once. Its pulp_type is `core` and endpoint; `content-guards.ts` says whom it lets pass. */
export function defineContentGuard(definition: ContentGuardKind): Resource {
  const { detail, columns = empty, fields, store = (plain) => plain, ...kind } = definition;
  const place = { kind: 'contentguards', plugin: 'core', endpoint: kind.endpoint, model: kind.model } as const;
  const pulpType = `core.${kind.endpoint}`;
  return defineResource({
    ...kind,
    ...place,
    fields: { ...baseFields(place), ...guardFields, ...fields },
    ordering: GUARD_ORDERING,
    policy: kind.policy ?? guardPolicy(kind.model.toLowerCase()),
    roles: kind.roles ?? OWNED_AND_VIEWED,
    actions: roleActions,
    verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
    mutation: { create: 'sync', update: 'sync', delete: 'sync' },
    counted: { table: 'content_guard', pulpType },
    only: sql`m.pulp_type = ${pulpType}`,
    select: sql`m.*${detailColumns(detail?.columns ?? [])}${columns}`,
    from: detail ? sql`content_guard m join ${raw(detail.table)} d on d.id = m.id` : sql`content_guard m`,
    store: store(
      withFreedDistributions(
        tableStore({ master: 'content_guard', pulpType, ...(detail ? { detail } : {}), counted: [`core.${kind.model}`] }),
      ),
    ),
  });
}

/** As in Pulp, what a deleted guard protected is protected no more: the servers are told. */
const withFreedDistributions = (store: Store): Store => ({
  ...store,
  async delete(tx, id) {
    const gone = await store.delete(tx, id);
    await tx.query(sql`select pg_notify(${DISTRIBUTION_CHANNEL}, ${ALL_DISTRIBUTIONS})`);
    return gone;
  },
});
