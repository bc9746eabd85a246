import { heldOn } from '../../../core/plugin-api.ts';
import { type Sql, sql } from '../../../db/sql.ts';
import type { Condition, ConditionInput, ObjectName } from '../../../kit/policy.ts';

const NAMESPACE = 'container.containernamespace';
const DISTRIBUTION = 'container.containerdistribution';

/** `container.pull_containerdistribution` -> `container.namespace_pull_containerdistribution`: the same right, for all of a namespace. */
const inNamespace = (permission: string): string => permission.replace('.', '.namespace_');

const namespaceObject = (id: string): ObjectName => ({ type: NAMESPACE, id });

/** The repository that is addressed, or that the addressed version is of. */
const repositoryOf = ({ row, resource, params }: ConditionInput): string | undefined =>
  resource.nested ? params.pulp_id : row?.id;

/** Whether the caller holds the permission by a role on one of the objects of a PRN type whose ids are selected. */
async function holdsOnOneOf({ caller, services }: ConditionInput, permission: string, type: string, ids: Sql): Promise<boolean> {
  if (!caller) return false;
  const [held] = await services.db.query(
    sql`select from (${ids}) as object (id) where object.id in (${heldOn(caller.id, permission, type)}) limit 1`,
  );
  return held !== undefined;
}

/** On the namespace that the addressed row is in: a distribution's own, a repository's by way of its distributions. */
const onNamespace: Condition = async (input, permission) => {
  if (await input.holds(permission)) return true;
  const own = input.row?.namespace_id;
  if (typeof own === 'string') return input.holds(permission, namespaceObject(own));
  const repository = repositoryOf(input);
  if (repository === undefined) return false;
  const namespaces = sql`
    select d.namespace_id from distribution m join container_distribution d on d.id = m.id
    where m.repository_id = ${repository}::uuid`;
  return holdsOnOneOf(input, permission, NAMESPACE, namespaces);
};

const onNamespaceOrRow: Condition = async (input, permission) => {
  const { row, resource } = input;
  const object = row && { type: `${resource.plugin}.${resource.model.toLowerCase()}`, id: row.id };
  return (await onNamespace(input, inNamespace(permission))) || input.holds(permission, object);
};

/** The first part of the base path, or the name of the namespace, that the request would make. */
function wantedNamespace({ body, resource }: ConditionInput): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { base_path: basePath, name } = body as Record<string, unknown>;
  const text = resource.kind === 'distributions' ? basePath : name;
  return typeof text === 'string' && text !== '' ? text.split('/')[0] : undefined;
}

/** On the namespace that a new distribution is to be in. */
const onWantedNamespace: Condition = async (input, permission) => {
  const name = wantedNamespace(input);
  if (name === undefined || name.includes('\0')) return false;
  const { db, domain } = input.services;
  const [namespace] = await db.query<{ id: string }>(
    sql`select id from container_namespace where domain_id = ${domain.id}::uuid and name = ${name}`,
  );
  if (!namespace) return false;
  return (await input.holds(permission)) || input.holds(inNamespace(permission), namespaceObject(namespace.id));
};

/** On a distribution that serves the addressed repository. */
const onDistribution: Condition = async (input, permission) => {
  if (await input.holds(permission)) return true;
  const repository = repositoryOf(input);
  if (repository === undefined) return false;
  const distributions = sql`select m.id from distribution m where m.repository_id = ${repository}::uuid`;
  return holdsOnOneOf(input, permission, DISTRIBUTION, distributions);
};

/** The conditions that the policies of container resources use beside the core's (spec: rbac, permission checks). */
export const containerConditions: Readonly<Record<string, Condition>> = {
  has_namespace_obj_perms: onNamespace,
  has_namespace_or_obj_perms: onNamespaceOrRow,
  has_namespace_perms: onWantedNamespace,
  has_namespace_model_perms: (input) => input.holds('container.add_containernamespace'),
  has_distribution_perms: onDistribution,
  namespace_is_username: (input) => input.caller !== null && wantedNamespace(input) === input.caller.username,
  is_private: ({ row }) => row?.private === true,
  obj_exists: ({ row }) => row !== undefined,
};
