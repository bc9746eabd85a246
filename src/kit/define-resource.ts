import type { Queryable } from '../db/database.ts';
import type { Sql } from '../db/sql.ts';
import type { ApiReply, ApiRequest, Component, Method, Parameter } from './api.ts';
import type { TaskContext } from './define-task.ts';
import type { Filter, Lookup } from './filters.ts';
import type { Policy, Scope } from './policy.ts';
import type { Counted } from './row-counts.ts';
import type { Services } from './services.ts';
import type { Wire } from './wire.ts';

/** A row as SQL gives it, under its column names. */
export interface Row {
  readonly id: string;
  readonly [column: string]: unknown;
}

/** Columns to write. */
export type Columns = { [column: string]: unknown };

/** One field of a resource, stated once: wire type, visibility, column and filters. */
export interface Field {
  readonly wire: Wire;
  readonly description: string;
  /** Absent: both ways. `read` is only answered, `write` is only taken (a secret, or an alias). */
  readonly access?: 'read' | 'write';
  /** Must be given on create and PUT; documented as required. */
  readonly required?: true;
  /** What create and PUT take where it is left out. Absent: create leaves the column's default, PUT the present value. */
  readonly default?: unknown;
  /** Column it is kept in, with its alias; default `m.<name>`. */
  readonly column?: string;
  /** Encrypted at rest, and answered only in `hidden_fields`. */
  readonly secret?: true;
  /** No other row of the table in the domain may have it. */
  readonly unique?: true;
  readonly lookups?: readonly Lookup[];
  /** The answered value; default: the column's. */
  readonly value?: (row: Row, services: Services) => unknown;
  /** For a value too large to be selected with its row. */
  readonly bulk?: BulkValue;
  /** Checks a given value and answers the columns it sets; default: its own column. Throws a string's worth in ValidationError form. */
  readonly resolve?: (value: unknown, input: ResolveInput) => Promise<Columns> | Columns;
}

/** A value of any size: read for the rows of an answer while that is sent, some rows at a time. */
export interface BulkValue {
  /** How large the rows' values are, by id; absent: nothing. */
  weigh(ids: readonly string[], db: Queryable): Promise<ReadonlyMap<string, number>>;
  /** The rows' values, by id. */
  load(ids: readonly string[], db: Queryable): Promise<ReadonlyMap<string, unknown>>;
  /** The value of a row that `load` does not answer. */
  readonly none: unknown;
}

export type Fields = Readonly<Record<string, Field>>;

export interface ResolveInput {
  readonly request: ApiRequest;
  /** The row being changed; absent on create. */
  readonly row?: Row;
  /** What the fields before this one have set. */
  readonly columns: Columns;
}

export type Verb = 'list' | 'create' | 'read' | 'update' | 'partial_update' | 'delete';

/** An operation beside the standard verbs: `POST {href}sync/`, `PATCH {task_href}`. */
export interface Action {
  readonly method: Method;
  /** Path below the member or collection; default: the action's name and a slash. */
  readonly suffix?: string;
  readonly on?: 'collection';
  readonly summary: string;
  readonly body?: { readonly component: string; readonly fields: Fields; readonly patched?: true };
  /** What it reads of the request's headers. */
  readonly parameters?: readonly Parameter[];
  /** Takes a form with files, in place of JSON; `run` reads it itself. */
  readonly takesFiles?: true;
  /** Further documented answers, such as 409. */
  readonly responses: readonly { readonly status: number; readonly component?: Component }[];
  /** Members: `row` is the one addressed; the resource's policy lets the caller take this action on it. */
  readonly run: (input: {
    readonly request: ApiRequest;
    readonly resource: Resource;
    readonly row: Row;
    readonly body: Record<string, unknown>;
  }) => Promise<ApiReply>;
}

/** Verbs that `permissionOf` makes permissions of, and what the role is said to be for. */
export type BuiltInRole = readonly string[] | { readonly description: string; readonly permissions: readonly string[] };

/** A row to insert. */
export interface NewRow {
  readonly id: string;
  readonly domain_id: string;
  readonly columns: Columns;
  /** Gives who asked for the row the rights of a creator on another one that the insert makes beside it. */
  readonly own: (resource: Resource, id: string) => Promise<void>;
}

/** How the rows of a resource are written. Each call is inside a transaction. */
export interface Store {
  /** Answers the row's id where it is another than the one proposed. */
  insert(
    tx: Queryable,
    row: NewRow,
    // biome-ignore lint/suspicious/noConfusingVoidType: most stores answer nothing
  ): Promise<string | void>;
  update(tx: Queryable, id: string, columns: Columns): Promise<void>;
  /** Answers how many rows of which model went: the task's result. */
  delete(tx: Queryable, id: string): Promise<Record<string, number>>;
}

export interface Resource {
  /** First path segment: `remotes`. */
  readonly kind: string;
  /** App label: `container`; `core` adds no segment. */
  readonly plugin: string;
  /** Last path segment; empty where the kind is the whole path. */
  readonly endpoint: string;
  /** `ContainerRemote`: names of schemas, hrefs, PRNs, permissions, messages. */
  readonly model: string;
  readonly title: readonly [one: string, many: string];
  readonly description: string;
  readonly fields: Fields;
  /** Old names of fields that are still taken: `ssl_validation` for `tls_validation`. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** Filters that are not a look-up of one column. */
  readonly filters?: Readonly<Record<string, Filter>>;
  /** Names that lists can be ordered by; those without a column fall back on the order of creation. */
  readonly ordering: Readonly<Record<string, string | null>>;
  /** Order of lists without `ordering`; default: newest first. */
  readonly defaultOrder?: string;
  readonly verbs: readonly Verb[];
  /** Who may do what; absent: administrators only. */
  readonly policy?: Policy;
  /** Scopes that its policy alone can name, by name; they come before those of the plugin and of the core. */
  readonly scopes?: Readonly<Record<string, Scope>>;
  /** Where the policy has no scope: which rows others than administrators can name in what they send. */
  readonly named?: Scope;
  /** Built-in roles by the ends of their names: `owner` -> `['view', 'change']`. */
  readonly roles?: Readonly<Record<string, BuiltInRole>>;
  /** Verbs that are permissions beside those of its roles. */
  readonly permissions?: readonly string[];
  /** `sync`: answered at once (201, 200, 204); `task`: 202 and a task. */
  readonly mutation?: { readonly create?: 'sync' | 'task'; readonly update?: 'sync' | 'task'; readonly delete?: 'sync' | 'task' };
  /** What a task that creates a row does beside it. */
  readonly creation?: {
    /** PRNs of what it holds meanwhile. */
    readonly holds: (columns: Columns) => readonly string[];
    /** What follows once the row is there. */
    readonly after: (id: string, columns: Columns, context: TaskContext) => Promise<void>;
  };
  /** PRNs of what a delete of the row takes along: its task holds them too, and is left to a worker. */
  readonly deletesToo?: (row: Row, services: Services) => Promise<readonly string[]>;
  /** Delete takes long: left to a worker. */
  readonly slowDelete?: true;
  /** Name of the delete task where it is not the general one. */
  readonly multiDelete?: true;
  readonly actions?: Readonly<Record<string, Action>>;
  /** What lists and reads select, and from what; `m` is the row that has the id. */
  readonly select: Sql;
  readonly from: Sql;
  /** Rows below another resource's member: `versions` of a repository, addressed by number. */
  readonly nested?: {
    readonly parent: Resource;
    readonly segment: string;
    /** Condition that the path's values put on rows; throws NotFoundError for values that cannot be. */
    readonly where: (params: Readonly<Record<string, string>>, member: boolean) => Sql;
    readonly memberParam: string;
    /** Columns of a new row that say below which row it is; absent where none are made by POST. */
    readonly below?: (parent: Row) => Columns;
    /** Name of the member's href in document paths. */
    readonly href: string;
    /** The document's tag, where it is not the parent's and the segment. */
    readonly tag?: string;
    /** A collection path by which the rows were reached in older releases. */
    readonly alias?: string;
  };
  /** Condition on all rows of this resource: which of the shared table's rows are its own. */
  readonly only?: Sql;
  readonly store?: Store;
  /** Cross-field rules, after all fields are resolved. Throws ValidationError. May complete the columns. */
  readonly validate?: (input: ResolveInput) => Promise<void>;
  /** May the row be changed at all? Throws an ApiError. */
  readonly mayUpdate?: (row: Row, request: ApiRequest) => Promise<void>;
  /** Told in this process when a change that was made at once is committed. */
  readonly changed?: (services: Services) => void;
  /** May the row go? Throws RequestRefusedError. */
  readonly mayDelete?: (row: Row, request: ApiRequest) => Promise<void>;
  /** PRN, as `app.model`; default: plugin and model. */
  readonly prn?: string;
  /** Names that components, document hrefs and tags have where they do not follow from model and path. */
  readonly component?: string;
  readonly hrefParameter?: string;
  /** Reduced answers by a query flag: `minimal` -> field names. */
  readonly reduced?: Readonly<Record<string, readonly string[]>>;
  /** What ids in paths look like; default: a UUID. `none`: the path does not end in the row's id. */
  readonly id?: 'integer' | 'none';
  /** Its rows belong to no domain. */
  readonly global?: true;
  /** The list has pages and nothing else: filters, `ordering` and `q` are ignored, whatever they say. */
  readonly unfiltered?: true;
  /** pulp_type of its rows, where that is not plugin and endpoint. */
  readonly pulpType?: string;
  /** pulp_type of the content whose units it lists: `container.blob`. */
  readonly contentType?: string;
  /** Its rows where their number is kept: a list of all of them is not counted. */
  readonly counted?: Counted;
}

/** A resource in one declaration; the kit derives routes, document, filters and serializer (spec: kit). */
export const defineResource = (resource: Resource): Resource => resource;
