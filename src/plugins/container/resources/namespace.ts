import { roleActions } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import { defineResource, type Row, type Store } from '../../../kit/define-resource.ts';
import { NAME_LOOKUPS } from '../../../kit/filters.ts';
import { prnOf } from '../../../kit/names.ts';
import { baseFields } from '../../../kit/serialize.ts';
import type { Services } from '../../../kit/services.ts';
import { tableStore } from '../../../kit/store.ts';
import { labels, text } from '../../../kit/wire.ts';
import { namespacePolicy } from '../access/policies.ts';
import { deleteDistributions, lockedWith, repositoriesGoing } from './distribution-deletion.ts';

const place = { kind: 'pulp_container/namespaces', plugin: 'container', endpoint: '', model: 'ContainerNamespace' } as const;

/** Rights on what is in a namespace, which its roles give. */
const PULL_WITHIN = [
  'container.namespace_pull_containerdistribution',
  'container.namespace_view_containerdistribution',
  'container.namespace_view_containerpushrepository',
  'container.namespace_view_containerrepository',
];
const EVERYTHING_WITHIN = [
  ...PULL_WITHIN,
  'container.namespace_add_containerdistribution',
  'container.namespace_change_containerdistribution',
  'container.namespace_change_containerpushrepository',
  'container.namespace_change_containerrepository',
  'container.namespace_delete_containerdistribution',
  'container.namespace_modify_content_containerpushrepository',
  'container.namespace_modify_content_containerrepository',
  'container.namespace_push_containerdistribution',
];

const distributionsOf = (namespaceId: string): Sql => sql`
  select id from container_distribution where namespace_id = ${namespaceId}::uuid`;

/** What goes with a namespace: its distributions, and what goes with those. */
async function deletedWith({ id }: Row, { db, catalog }: Services): Promise<string[]> {
  const distributions = await db.query<{ id: string }>(distributionsOf(id));
  return [
    ...distributions.map((distribution) => prnOf('container', 'ContainerDistribution', distribution.id)),
    ...lockedWith(await repositoriesGoing(db, distributionsOf(id)), catalog),
  ];
}

const withDistributions = (store: Store): Store => ({
  ...store,
  async delete(tx, id) {
    // Nobody makes a distribution in it from now on.
    await tx.query(sql`select id from container_namespace where id = ${id}::uuid for update`);
    const distributions = await tx.query<{ id: string }>(distributionsOf(id));
    const gone = await deleteDistributions(
      tx,
      distributions.map((distribution) => distribution.id),
    );
    return { ...gone, ...(await store.delete(tx, id)) };
  },
});

/** The first part of base paths: what rights on pushes are given for. */
export const containerNamespace = defineResource({
  ...place,
  title: ['container namespace', 'container namespaces'],
  description: 'A namespace: the first part of the base paths below it.',
  fields: {
    ...baseFields(place),
    name: { wire: text(), required: true, unique: true, lookups: NAME_LOOKUPS, description: 'A unique name for this namespace.' },
    pulp_labels: { wire: labels(), description: 'Labels: text by key.' },
  },
  ordering: {
    name: 'm.name',
    pk: 'm.id',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_labels: 'm.pulp_labels',
    pulp_last_updated: 'm.pulp_last_updated',
  },
  verbs: ['list', 'create', 'read', 'delete'],
  policy: namespacePolicy,
  roles: {
    creator: ['add'],
    owner: ['view', 'delete', 'manage_roles', ...EVERYTHING_WITHIN],
    collaborator: ['view', ...EVERYTHING_WITHIN],
    consumer: ['view', ...PULL_WITHIN],
  },
  actions: roleActions,
  mutation: { create: 'sync', delete: 'task' },
  multiDelete: true,
  deletesToo: deletedWith,
  select: sql`m.*`,
  from: sql`container_namespace m`,
  store: withDistributions(tableStore({ master: 'container_namespace', counted: ['container.ContainerNamespace'] })),
});
