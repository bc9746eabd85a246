import { join, raw, type Sql, sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { permissionOf, prnType } from '../../kit/names.ts';
import type { Scope, ScopeInput } from '../../kit/policy.ts';

const isOfType = (resource: Resource, other: Resource): boolean =>
  other !== resource && other.kind === resource.kind && other.endpoint !== '' && !other.nested;

/** Resources whose rows a list of all types holds: `repositories/` holds those of `repositories/container/container/`. */
const kindsOf = ({ services, resource }: ScopeInput): readonly Resource[] =>
  services.catalog.resources.filter((other) => isOfType(resource, other) && other.policy);

/** Whether there are types that only administrators see. */
const hasHidden = ({ services, resource }: ScopeInput): boolean =>
  services.catalog.resources.some((other) => isOfType(resource, other) && !other.policy);

/** Value of `pulp_type` of a resource's rows. */
const pulpType = (resource: Resource): string =>
  resource.pulpType ?? resource.contentType ?? `${resource.plugin}.${resource.endpoint}`;

/**
 * Rows that the caller sees in the lists of the single types. A select of ids, which leads to the rows where they are few: of alternatives the
 * database would try each row of everybody's.
 */
async function ofTypes(input: ScopeInput): Promise<Sql | undefined> {
  const whole: string[] = [];
  const parts = new Map<string, { readonly scope: Sql; readonly types: string[] }>();
  for (const kind of kindsOf(input)) {
    const scope = await input.sees(kind);
    if (!scope) whole.push(pulpType(kind));
    else {
      // Types of the same scope are looked for at once.
      const key = JSON.stringify([scope.text, scope.values]);
      const part = parts.get(key) ?? { scope, types: [] };
      part.types.push(pulpType(kind));
      parts.set(key, part);
    }
  }
  if (parts.size === 0) return hasHidden(input) ? sql`m.pulp_type = any(${whole})` : undefined;
  const { counted } = input.resource;
  if (!counted) throw new Error(`${input.resource.model} says no table`);
  const ids = [...parts.values()].map(
    ({ scope, types }) => sql`select m.id from ${raw(counted.table)} m where m.pulp_type = any(${types}) and ${scope}`,
  );
  const visible = sql`m.id in (${join(ids, ' union all ')})`;
  return whole.length === 0 ? visible : sql`(m.pulp_type = any(${whole}) or ${visible})`;
}

/** Rows on which the caller holds the view permission; in a list of all types, those he sees in the lists of the single ones. */
const held: Scope = async (input) => {
  const { resource, holds, heldOn } = input;
  if (resource.endpoint === '' && kindsOf(input).length > 0) return ofTypes(input);
  const permission = permissionOf(resource, 'view');
  return (await holds(permission)) ? undefined : sql`m.id in (${heldOn(permission, prnType(resource))})`;
};

/** Versions of the repositories that the caller sees. */
const versions: Scope = async ({ services, sees }) => {
  const repositories = await sees(services.catalog.resource('repositories'));
  return repositories && sql`m.repository_id in (select m.id from repository m where ${repositories})`;
};

/** The scopes that policies of all plugins can name. */
export const coreScopes: Readonly<Record<string, Scope>> = {
  scope_queryset: held,
  scope_repository_versions: versions,
};
