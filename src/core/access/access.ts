import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { type Sql, sql } from '../../db/sql.ts';
import type { Caller } from '../../kit/api.ts';
import type { Resource, Row } from '../../kit/define-resource.ts';
import { NotAuthenticatedError, NotFoundError, PermissionDeniedError } from '../../kit/errors.ts';
import { prnType } from '../../kit/names.ts';
import type { Access, AccessServices, Asked, Condition, ObjectName, Scope } from '../../kit/policy.ts';
import { idOf, isIdOf } from '../../kit/references.ts';
import { HeldPermissions, heldOn } from './held-permissions.ts';
import { Policies } from './policies.ts';
import { decide, evaluate } from './statements.ts';

/** The creation hook that every policy uses. */
export const ROLES_FOR_CREATOR = 'add_roles_for_object_creator';

/** Access with the connection that it listens on. */
export interface OpenAccess extends Access {
  close(): Promise<void>;
}

/**
 * Who may do what, by roles and policies (spec: rbac). Nothing about users, groups and roles is kept between requests, so that a
 * change counts for the next one on every process; a superuser may do everything without being asked for.
 */
export async function openAccess(services: AccessServices): Promise<OpenAccess> {
  return new PolicyAccess(services, await Policies.open(services.db));
}

class PolicyAccess implements OpenAccess {
  readonly #services: AccessServices;
  readonly #policies: Policies;
  readonly #conditions: ReadonlyMap<string, Condition>;
  readonly #held = new WeakMap<Caller, HeldPermissions>();

  constructor(services: AccessServices, policies: Policies) {
    this.#services = services;
    this.#policies = policies;
    this.#conditions = new Map(services.catalog.plugins.flatMap((plugin) => Object.entries(plugin.conditions ?? {})));
  }

  hasCondition(name: string): boolean {
    return this.#conditions.has(name);
  }

  scopeOf(resource: Resource, name: string): Scope | undefined {
    const { plugins } = this.#services.catalog;
    const declaredBy = (component: string) => plugins.find((plugin) => plugin.component === component)?.scopes;
    // The name may come from outside: what every object inherits is no scope.
    const scopes = [resource.scopes, declaredBy(resource.plugin), declaredBy('core')].find(
      (declared) => declared && Object.hasOwn(declared, name),
    );
    return scopes?.[name];
  }

  close(): Promise<void> {
    return this.#policies.close();
  }

  async check(asked: Asked, resource: Resource, action: string, row?: Row): Promise<void> {
    if (await this.may(asked, resource, action, row)) return;
    if (!asked.caller) throw new NotAuthenticatedError();
    // Who may not read it is not told that it is there; where nothing can be read there is nothing to be told.
    if (row && (await this.#isRead(resource)) && (action === 'retrieve' || !(await this.may(asked, resource, 'retrieve', row)))) {
      throw new NotFoundError(resource.model);
    }
    throw new PermissionDeniedError();
  }

  async #isRead(resource: Resource): Promise<boolean> {
    const rules = (await this.#policies.of(resource))?.rules ?? [];
    return rules.some(({ actions }) => actions === undefined || actions.has('retrieve'));
  }

  async admit({ caller }: Asked, resource: Resource, action: string): Promise<void> {
    if (caller?.is_superuser) return;
    const rules = (await this.#policies.of(resource))?.rules ?? [];
    const admitted = await decide(
      rules.filter((rule) => rule.allows),
      action,
      (principals) => this.#fits(principals, caller),
      async () => true,
    );
    if (!admitted) throw caller ? new PermissionDeniedError() : new NotAuthenticatedError();
  }

  async may(asked: Asked, resource: Resource, action: string, row?: Row): Promise<boolean> {
    if (asked.caller?.is_superuser) return true;
    const policy = await this.#policies.of(resource);
    if (!policy) return false;
    const { caller } = asked;
    const input = {
      ...asked,
      resource,
      action,
      ...(row ? { row } : {}),
      holds: async (permission: string, object?: ObjectName) => caller !== null && this.holds(caller, permission, object),
      sees: async (other: Resource, id: string) => caller !== null && this.#sees(caller, other, id),
    };
    return decide(
      policy.rules,
      action,
      (principals) => this.#fits(principals, caller),
      (condition) =>
        evaluate(condition, (name, argument) => {
          const ask = this.#conditions.get(name);
          if (!ask) throw new Error(`the policy of ${resource.model} names the condition ${name}, which does not exist`);
          return ask(input, argument);
        }),
    );
  }

  async scope(caller: Caller, resource: Resource): Promise<Sql | undefined> {
    if (caller.is_superuser) return undefined;
    const policy = await this.#policies.of(resource);
    const named = policy?.queryset_scoping;
    const scope = named ? this.scopeOf(resource, named.function) : resource.named;
    if (named && !scope)
      throw new Error(`the policy of ${resource.model} names the scope ${named.function}, which does not exist`);
    if (!scope) return policy ? undefined : sql`false`;
    return scope({
      services: this.#services,
      caller,
      resource,
      parameters: named?.parameters ?? {},
      holds: (permission) => this.holds(caller, permission),
      heldOn: (permission, type) => heldOn(caller.id, permission, type),
      sees: (other) => this.scope(caller, other),
    });
  }

  async holds(caller: Caller, permission: string, object?: ObjectName): Promise<boolean> {
    if (caller.is_superuser) return true;
    const known = this.#held.get(caller) ?? new HeldPermissions(this.#services.db, caller);
    this.#held.set(caller, known);
    return known.holds(permission, object);
  }

  async whereHolds(caller: Caller, permission: string, type: string): Promise<Sql | undefined> {
    return (await this.holds(caller, permission)) ? undefined : sql`m.id in (${heldOn(caller.id, permission, type)})`;
  }

  async rolesOfCreator(resource: Resource, tx?: Queryable): Promise<readonly string[]> {
    const hooks = (await this.#policies.of(resource, tx))?.creation_hooks ?? [];
    return hooks
      .filter((hook) => hook.function === ROLES_FOR_CREATOR)
      .flatMap((hook) => hook.parameters?.roles ?? [])
      .map(String);
  }

  async created(...[tx, resource, id, creator]: Parameters<Access['created']>): Promise<void> {
    if (creator === null) return;
    const roles = await this.rolesOfCreator(resource, tx);
    if (roles.length === 0) return;
    const object = resource.id === 'integer' ? sql`null, ${id}::int` : sql`${id}::uuid, null`;
    await tx.execute(sql`
      insert into role_assignment (id, role_id, user_id, object_type, object_id, object_group_id)
      select wanted.id, role.id, ${creator}::int, ${prnType(resource)}, ${object}
      from unnest(${roles.map(() => uuid7())}::uuid[], ${roles}::text[]) as wanted(id, name) join role using (name)
      on conflict do nothing`);
  }

  async #sees(caller: Caller, resource: Resource, id: string): Promise<boolean> {
    if (!isIdOf(resource, id)) return false;
    const scope = (await this.scope(caller, resource)) ?? sql`true`;
    const [row] = await this.#services.db.query(
      sql`select 1 from ${resource.from} where m.id = ${idOf(resource, id)} and ${resource.only ?? sql`true`} and ${scope}`,
    );
    return row !== undefined;
  }

  async #fits(principals: readonly string[], caller: Caller | null): Promise<boolean> {
    if (principals.includes('*')) return true;
    if (!caller) return principals.includes('anonymous');
    if (principals.includes('authenticated') || principals.includes(`id:${caller.id}`)) return true;
    const groups = principals.flatMap((principal) => (principal.startsWith('group:') ? [principal.slice('group:'.length)] : []));
    if (groups.length === 0) return false;
    const [member] = await this.#services.db.query(sql`
      select 1 from app_group_member gm join app_group g on g.id = gm.group_id
      where gm.user_id = ${caller.id}::int and g.name = any(${groups}::text[]) limit 1`);
    return member !== undefined;
  }
}
