import type { DocumentedOperation, Operation } from './api.ts';
import type { Plugin } from './define-plugin.ts';
import type { Resource } from './define-resource.ts';
import type { TaskDefinition } from './define-task.ts';
import { collectionPath, parseReference, prnType, resourceKey } from './names.ts';
import { operationsOf } from './operations.ts';
import type { UnitTable } from './unit-table.ts';

/** A kind of content, as hrefs and summaries need it: `container.blob` lives at `/pulp/api/v3/content/container/blobs/`. */
export interface ContentType {
  readonly pulp_type: string;
  readonly collection: string;
  /** PRN model name: `container.blob` -> `Blob`. */
  readonly model: string;
}

/** What a reference names, before anything is looked up. */
export interface Located {
  readonly resource: Resource;
  readonly id: string;
  readonly version?: number;
}

/** What all plugins together declare; made once by src/services.ts from src/plugins.ts. */
export interface Catalog {
  readonly plugins: readonly Plugin[];
  /** Component -> version, as workers and `/status/` tell it. */
  readonly versions: Readonly<Record<string, string>>;
  readonly resources: readonly Resource[];
  /** By its path pieces, `remotes/container/container`. Throws for a name that no plugin declares. */
  resource(key: string): Resource;
  /** The resource of a kind whose rows have the pulp_type: `distributions`, `core.artifact`. Throws for a type that no plugin declares. */
  ofType(kind: string, pulpType: string): Resource;
  /** Throws for a type that no plugin declares. */
  contentType(pulpType: string): ContentType;
  readonly contentTypes: readonly ContentType[];
  /** The types of content, as upkeep needs them: each before those that its units need. */
  readonly units: readonly UnitTable[];
  task(name: string): TaskDefinition | undefined;
  /** The resource whose PRNs are of this type: `container.containerremote`. */
  ofPrnType(type: string): Resource | undefined;
  /** What an href or PRN names, or undefined. The row may not exist. */
  locate(reference: string): Located | undefined;
}

/** Puts together what the plugins declare. Throws when two declare the same. */
export function catalogOf(plugins: readonly Plugin[]): Catalog {
  const resources = plugins.flatMap((plugin) => plugin.resources);
  const byKey = unique(resources.map((resource) => [resourceKey(resource), resource]));
  const byCollection = new Map(resources.filter((r) => !r.nested).map((resource) => [collectionPath(resource), resource]));
  const byPrn = new Map(resources.filter((r) => !r.nested).map((resource) => [prnType(resource), resource]));
  const byType = new Map(
    resources
      .filter((r) => !r.nested && r.endpoint !== '')
      .map((resource) => [`${resource.kind} ${resource.pulpType ?? `${resource.plugin}.${resource.endpoint}`}`, resource]),
  );
  const contentTypes = resources.flatMap(contentTypeOf);
  const byPulpType = unique(contentTypes.map((type) => [type.pulp_type, type]));
  const tasks = unique(plugins.flatMap((plugin) => plugin.tasks).map((task) => [task.name, task]));
  return {
    plugins,
    versions: Object.fromEntries(plugins.map((plugin) => [plugin.component, plugin.compatibleWith])),
    resources,
    resource: (key) => required(byKey.get(key), `resource ${key}`),
    ofType: (kind, pulpType) => required(byType.get(`${kind} ${pulpType}`), `${kind} of type ${pulpType}`),
    contentType: (pulpType) => required(byPulpType.get(pulpType), `content type ${pulpType}`),
    contentTypes,
    units: plugins.flatMap((plugin) => plugin.units ?? []),
    task: (name) => tasks.get(name),
    ofPrnType: (type) => byPrn.get(type),
    locate(text) {
      const reference = parseReference(text);
      if (!reference) return undefined;
      const resource = reference.by === 'href' ? byCollection.get(reference.collection) : byPrn.get(reference.type);
      if (!resource || (resource.id === 'integer') !== /^\d{1,9}$/.test(reference.id)) return undefined;
      const version = reference.by === 'href' ? reference.version : undefined;
      return { resource, id: reference.id, ...(version === undefined ? {} : { version }) };
    },
  };
}

/** The content that a resource lists, if it lists content of one type. */
const contentTypeOf = (resource: Resource): ContentType[] =>
  resource.contentType === undefined
    ? []
    : [{ pulp_type: resource.contentType, collection: collectionPath(resource), model: resource.model }];

function unique<T>(entries: readonly (readonly [string, T])[]): Map<string, T> {
  const map = new Map<string, T>();
  for (const [name, value] of entries) {
    if (map.has(name)) throw new Error(`declared twice: ${name}`);
    map.set(name, value);
  }
  return map;
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`no plugin declares ${what}`);
  return value;
}

/** Every operation of the REST API: those of the resources and the plain ones. */
export const apiOperations = (catalog: Catalog): Operation[] => [
  ...catalog.resources.flatMap(operationsOf),
  ...catalog.plugins.flatMap((plugin) => plugin.operations ?? []),
];

/** Every operation that the document describes: those of the REST API, and routes of plugins. */
export const documentedOperations = (catalog: Catalog): DocumentedOperation[] => [
  ...apiOperations(catalog),
  ...catalog.plugins.flatMap((plugin) => plugin.routed ?? []),
];
