import { v7 as uuid7 } from 'uuid';
import { basePath, defineDistribution, guardByDefault, requiredGuard } from '../../../core/plugin-api.ts';
import type { Queryable } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { Columns, Field, NewRow, Store } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { conditionFilter } from '../../../kit/filters.ts';
import { collectionOf, hrefOf } from '../../../kit/names.ts';
import { OWNED } from '../../../kit/policy.ts';
import type { Services } from '../../../kit/services.ts';
import { bool, described, text } from '../../../kit/wire.ts';
import { distributionPolicy } from '../access/policies.ts';
import { deleteDistributions, lockedWith, repositoriesGoing } from './distribution-deletion.ts';
import { containerNamespace } from './namespace.ts';

const MAX_PATH = 255;
/** A part of a repository's name (OCI distribution spec, pulling manifests). */
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

/** Throws ValidationError for a path that no repository of a registry can have. */
export function checkPath(path: string): void {
  const refuse = (message: string) => new ValidationError({ base_path: [message] });
  if (path.length > MAX_PATH) throw refuse('The entered registry path cannot be longer than 255 characters.');
  if (!PATH.test(path)) throw refuse('The provided registry path contains forbidden characters.');
}

type Own = NewRow['own'];

/** The namespace of a base path, made where it is not there yet. */
async function namespaceOf(tx: Queryable, domainId: string, path: string, own?: Own): Promise<string> {
  const name = path.split('/')[0] as string;
  const [namespace] = await tx.query<{ id: string; made: boolean }>(sql`
    insert into container_namespace (id, domain_id, name) values (${uuid7()}::uuid, ${domainId}::uuid, ${name})
    on conflict (domain_id, name) do update set name = excluded.name returning id, xmax = 0 as made`);
  if (!namespace) throw new Error(`namespace ${name} could not be made`);
  if (namespace.made) await own?.(containerNamespace, namespace.id);
  return namespace.id;
}

const withNamespace = async (tx: Queryable, domainId: string, columns: Columns, own?: Own): Promise<Columns> =>
  columns.base_path === undefined
    ? columns
    : { ...columns, namespace_id: await namespaceOf(tx, domainId, columns.base_path as string, own) };

/** Puts rows with a base path into the namespace that it begins with. */
export const inNamespace = (store: Store): Store => ({
  ...store,
  insert: async (tx, row) => store.insert(tx, { ...row, columns: await withNamespace(tx, row.domain_id, row.columns, row.own) }),
  async update(tx, id, columns) {
    const [row] = await tx.query<{ domain_id: string }>(sql`select domain_id from distribution where id = ${id}::uuid`);
    await store.update(tx, id, row ? await withNamespace(tx, row.domain_id, columns) : columns);
  },
});

export const namespaceField: Field = {
  wire: described({ type: 'string', format: 'uri' }),
  access: 'read',
  description: 'The namespace of its base path.',
  value: (row) => hrefOf(containerNamespace, row.namespace_id as string),
};

/** What clients pull from where a base path is served: host and base path. */
export const registryPath = ({ config }: Pick<Services, 'config'>, path: string): string =>
  `${new URL(config.PULP_CONTENT_ORIGIN).host}/${path}`;

/** Serves a repository, or one version of it, over the Registry API. */
export const containerDistribution = defineDistribution({
  plugin: 'container',
  endpoint: 'container',
  model: 'ContainerDistribution',
  title: ['container distribution', 'container distributions'],
  description: 'A container distribution serves a repository, or one version of it, over the Registry API.',
  policy: distributionPolicy,
  roles: {
    creator: ['add'],
    owner: [...OWNED, 'pull', 'push'],
    collaborator: ['view', 'pull', 'push'],
    consumer: ['view', 'pull'],
  },
  fields: {
    base_path: basePath(checkPath),
    content_guard: requiredGuard,
    registry_path: {
      wire: described({ type: 'string' }),
      access: 'read',
      description: 'What clients pull from: host and base path.',
      value: (row, services) => registryPath(services, String(row.base_path)),
    },
    remote: {
      wire: described({ type: 'string', format: 'uri' }),
      access: 'read',
      description: 'The remote that missing content is pulled through.',
      value: (row) => (row.remote_id ? `${collectionOf('remotes', 'container.container')}${row.remote_id}/` : null),
    },
    namespace: namespaceField,
    private: { wire: bool(), column: 'd.private', description: 'Whether pulls need permission.' },
    description: { wire: text({ nullable: true }), column: 'd.description', description: 'What it is for.' },
  },
  filters: {
    namespace__name: conditionFilter(
      (value) => sql`d.namespace_id in (select n.id from container_namespace n where n.name = ${value})`,
    ),
  },
  ordering: { description: 'd.description', private: 'd.private' },
  validate: guardByDefault,
  detail: { table: 'container_distribution', columns: ['namespace_id', 'private', 'description', 'cache_id'] },
  within: 'cache_id',
  store: (plain) => ({ ...inNamespace(plain), delete: (tx, id) => deleteDistributions(tx, [id]) }),
  deletesToo: async (row, { db, catalog }) => lockedWith(await repositoriesGoing(db, sql`select ${row.id}::uuid`), catalog),
});
