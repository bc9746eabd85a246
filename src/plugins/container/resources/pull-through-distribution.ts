import {
  ALL_DISTRIBUTIONS,
  basePath,
  DISTRIBUTION_CHANNEL,
  defineDistribution,
  guardByDefault,
  requiredGuard,
  sumOf,
} from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Columns, Field, Store } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { hrefOf } from '../../../kit/names.ts';
import { OWNED } from '../../../kit/policy.ts';
import { resolveReference } from '../../../kit/references.ts';
import { bool, list, reference, text } from '../../../kit/wire.ts';
import { PULL_NEW, pullThroughDistributionPolicy } from '../access/policies.ts';
import { checkPath, containerDistribution, inNamespace, namespaceField } from './distribution.ts';
import { deleteDistributions } from './distribution-deletion.ts';
import { pullThroughRemote } from './pull-through-remote.ts';

/** Stands among the columns for the links from distributions to their cache: their ids, in order. */
const LINKS = 'distributions';

const distributions: Field = {
  wire: list(reference()),
  description: 'The distributions that belong to the cache: those that it has made.',
  value: (row) => (row[LINKS] as readonly string[]).map((id) => hrefOf(containerDistribution, id)),
  resolve: async (value, { request, row }) => {
    const present = new Set(row?.[LINKS] as readonly string[] | undefined);
    const ids = new Set<string>();
    for (const href of value as readonly string[]) {
      const { row: found } = await resolveReference('distributions', href, [containerDistribution], request);
      // Rights on the cache are then rights on it.
      if (!present.has(found.id)) await request.services.access.check(request, containerDistribution, 'partial_update', found);
      ids.add(found.id);
    }
    return { [LINKS]: [...ids].sort() };
  },
};

const remote: Field = {
  wire: reference(),
  required: true,
  description: 'How the upstream registry is reached.',
  value: (row) => (row.remote_id ? hrefOf(pullThroughRemote, row.remote_id as string) : null),
  resolve: async (value, { request }) => ({
    remote_id: (await resolveReference('remote', String(value), [pullThroughRemote], request)).row.id,
  }),
};

/** What was pulled stands below it. */
const settledPath: Field = {
  ...basePath(checkPath),
  resolve: (value, input) => {
    if (input.row && input.row.base_path !== value) throw new ValidationError({ base_path: ['This value cannot be updated.'] });
    return basePath(checkPath).resolve?.(value, input) ?? {};
  },
};

/** Makes exactly these distributions the cache's. */
async function link(tx: Queryable, id: string, distributionIds: readonly string[]): Promise<void> {
  await tx.execute(sql`
    update container_distribution set cache_id = case when id = any(${distributionIds}::uuid[]) then ${id}::uuid end
    where cache_id = ${id}::uuid or id = any(${distributionIds}::uuid[])`);
  await tx.query(sql`select pg_notify(${DISTRIBUTION_CHANNEL}, ${ALL_DISTRIBUTIONS})`);
}

const withDistributions = (store: Store): Store => {
  const split = ({ [LINKS]: links, ...columns }: Columns) => ({ links: links as readonly string[] | undefined, columns });
  return {
    async insert(tx, row) {
      const { links, columns } = split(row.columns);
      await store.insert(tx, { ...row, columns });
      if (links) await link(tx, row.id, links);
    },
    async update(tx, id, changed) {
      const { links, columns } = split(changed);
      await store.update(tx, id, columns);
      if (links) await link(tx, id, links);
    },
    async delete(tx, id) {
      const cached = await tx.query<{ id: string }>(sql`select id from container_distribution where cache_id = ${id}::uuid`);
      const gone = await deleteDistributions(
        tx,
        cached.map((distribution) => distribution.id),
      );
      return sumOf(gone, await store.delete(tx, id));
    },
  };
};

/** Caches the repositories of an upstream registry below its base path, as they are pulled. */
export const pullThroughDistribution = defineDistribution({
  plugin: 'container',
  endpoint: 'pull-through',
  model: 'ContainerPullThroughDistribution',
  title: ['container pull-through distribution', 'container pull-through distributions'],
  description:
    'A pull-through distribution caches the repositories of an upstream registry below its base path, as they are pulled.',
  policy: pullThroughDistributionPolicy,
  roles: {
    creator: ['add'],
    owner: [...OWNED, PULL_NEW],
    collaborator: ['view', PULL_NEW],
    consumer: ['view', PULL_NEW],
  },
  fields: {
    base_path: settledPath,
    content_guard: requiredGuard,
    remote,
    distributions,
    namespace: namespaceField,
    private: { wire: bool(), column: 'd.private', description: 'Whether what it caches is for those who have permission only.' },
    description: { wire: text({ nullable: true }), column: 'd.description', description: 'What it is for.' },
  },
  validate: guardByDefault,
  columns: sql`array(select c.id from container_distribution c where c.cache_id = m.id order by c.id) as distributions`,
  detail: { table: 'container_pull_through_distribution', columns: ['namespace_id', 'private', 'description'] },
  store: (plain) => withDistributions(inNamespace(plain)),
});
