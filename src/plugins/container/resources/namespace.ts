import { sql } from '../../../db/sql.ts';
import { defineResource } from '../../../kit/define-resource.ts';
import { NAME_LOOKUPS } from '../../../kit/filters.ts';
import { baseFields } from '../../../kit/serialize.ts';
import { tableStore } from '../../../kit/store.ts';
import { labels, text } from '../../../kit/wire.ts';

const place = { kind: 'pulp_container/namespaces', plugin: 'container', endpoint: '', model: 'ContainerNamespace' } as const;

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
  verbs: ['list', 'create', 'read'],
  mutation: { create: 'sync' },
  select: sql`m.*`,
  from: sql`container_namespace m`,
  store: tableStore({ master: 'container_namespace', counted: ['container.ContainerNamespace'] }),
});
