import type { Queryable } from '../db/database.ts';
import type { Sql } from '../db/sql.ts';
import type { Caller } from './api.ts';
import type { Resource, Row } from './define-resource.ts';
import type { Services } from './services.ts';

/** One rule of a policy, in the form that the API shows and takes (spec: rbac). */
export interface Statement {
  readonly action: string | readonly string[];
  readonly effect: 'allow' | 'deny';
  /** `authenticated`, `anonymous`, `admin`, `*`, or `id:<user>`, `group:<name>`. */
  readonly principal: string | readonly string[];
  /** Each has to hold: `<condition>` or `<condition>:<argument>`. */
  readonly condition?: string | readonly string[];
  /** Each has to hold: conditions combined with `not`, `and`, `or` and parentheses. */
  readonly condition_expression?: string | readonly string[];
}

/** A function by its name, with what it is given. */
export interface NamedFunction {
  readonly function: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/**
 * Who may do what with a resource. What it says are the defaults: an administrator can change them for an installation. A
 * resource without a policy is for administrators only.
 */
export interface Policy {
  readonly statements: readonly Statement[];
  /** What happens to a new object: its creator gets roles on it. */
  readonly creation_hooks?: readonly NamedFunction[];
  /** Which rows a caller sees at all; absent: every row. */
  readonly queryset_scoping?: NamedFunction;
}

/** What conditions and scopes can ask. */
export type AccessServices = Pick<Services, 'db' | 'domain' | 'catalog'>;

/** What is asked for. A request of the API is one; the registry makes its own. */
export interface Asked {
  readonly services: AccessServices;
  readonly caller: Caller | null;
  /** What came with the request, unchecked. */
  readonly body: unknown;
  readonly params: Readonly<Record<string, string>>;
}

/** What a condition looks at. */
export interface ConditionInput extends Asked {
  readonly resource: Resource;
  readonly action: string;
  /** The row that is addressed; absent on collections. */
  readonly row?: Row;
  /** Whether the caller holds the permission on everything, or on the object if one is given. */
  readonly holds: (permission: string, object?: ObjectName) => Promise<boolean>;
  /** Whether the caller sees the row of this id: what he does not see is refused as if it were not there, where it is looked up. */
  readonly sees: (resource: Resource, id: string) => Promise<boolean>;
}

/** An object as roles name it: PRN type and id. */
export interface ObjectName {
  readonly type: string;
  readonly id: string;
}

/** A condition of a policy, under the name that statements use: `has_model_or_domain_perms`. `argument` is what follows the colon. */
export type Condition = (input: ConditionInput, argument: string) => Promise<boolean> | boolean;

/** What a scope is made of. */
export interface ScopeInput {
  readonly services: AccessServices;
  readonly caller: Caller;
  readonly resource: Resource;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Whether the caller holds the permission on everything. */
  readonly holds: (permission: string) => Promise<boolean>;
  /** A select of the ids of the objects of a PRN type on which the caller holds the permission by a role. */
  readonly heldOn: (permission: string, type: string) => Sql;
  /** Which rows of another resource the caller sees: a condition over `m`, or undefined for every row. */
  readonly sees: (resource: Resource) => Promise<Sql | undefined>;
}

/** Which rows a caller sees: a condition over `m`, or undefined for every row. */
export type Scope = (input: ScopeInput) => Promise<Sql | undefined>;

/** The permission seam: core/access implements it with roles and policies. */
export interface Access {
  /** Throws PermissionDeniedError where no rule of the policy is for this caller and action, whatever the row. */
  admit(asked: Asked, resource: Resource, action: string): Promise<void>;
  /**
   * Returns where the resource's policy lets the caller do it. Throws PermissionDeniedError, NotFoundError for a row that the
   * caller may not even read, NotAuthenticatedError where nobody is logged in.
   */
  check(asked: Asked, resource: Resource, action: string, row?: Row): Promise<void>;
  /** Whether `check` would return. */
  may(asked: Asked, resource: Resource, action: string, row?: Row): Promise<boolean>;
  /** Which rows of the resource the caller sees: a condition over `m`, or undefined for every row. */
  scope(caller: Caller, resource: Resource): Promise<Sql | undefined>;
  /** Whether the caller holds the permission on everything, or on the object if one is given. */
  holds(caller: Caller, permission: string, object?: ObjectName): Promise<boolean>;
  /** Rows of a PRN type on which the caller holds the permission: a condition over `m`, or undefined for every row. */
  whereHolds(caller: Caller, permission: string, type: string): Promise<Sql | undefined>;
  /** Whether policies can name this condition. */
  hasCondition(name: string): boolean;
  /** The scope that a policy of the resource can name. */
  scopeOf(resource: Resource, name: string): Scope | undefined;
  /** Names of the roles that the policy gives to the creator of an object; asked over `tx` where that is open. */
  rolesOfCreator(resource: Resource, tx?: Queryable): Promise<readonly string[]>;
  /** Gives the creator the roles that the policy has for a new object, in the transaction that makes it. */
  created(tx: Queryable, resource: Resource, id: string, creator: number | null): Promise<void>;
}

/** A rule that lets those who are logged in do it, if each condition holds. */
export const allow = (action: readonly string[], ...condition: readonly string[]): Statement => ({
  action,
  effect: 'allow',
  principal: 'authenticated',
  ...(condition.length > 0 ? { condition } : {}),
});

/** A rule with a combined condition. */
export const allowWhere = (action: readonly string[], expression: string): Statement => ({
  action,
  effect: 'allow',
  principal: 'authenticated',
  condition_expression: [expression],
});

/** The actions that change a row, labels among them, and those on its roles: policies name them together. */
export const CHANGES = ['update', 'partial_update', 'set_label', 'unset_label'];
export const ROLE_ACTIONS = ['list_roles', 'add_role', 'remove_role'];

/** Holds the permission on everything or on the object. */
export const may = (permission: string): string => `has_model_or_domain_or_obj_perms:${permission}`;
/** Holds the permission on everything. */
export const mayAnywhere = (permission: string): string => `has_model_or_domain_perms:${permission}`;

/** Permissions of the owner of a row, and the roles that most resources have. */
export const OWNED = ['view', 'change', 'delete', 'manage_roles'];
export const OWNED_AND_VIEWED = { creator: ['add'], owner: OWNED, viewer: ['view'] };

/** Rows that the caller holds the view permission on. */
export const SCOPED: NamedFunction = { function: 'scope_queryset' };

/** The creator of an object gets these roles on it. */
export const ownerGets = (roles: string | readonly string[]): readonly NamedFunction[] => [
  { function: 'add_roles_for_object_creator', parameters: { roles } },
];
