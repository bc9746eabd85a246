import type { Resource } from './define-resource.ts';

/** Root of the REST API. */
export const API_ROOT = '/pulp/api/v3/';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const UUID_ONLY = new RegExp(`^${UUID}$`);
export const isUuid = (text: string): boolean => UUID_ONLY.test(text);

/** `ContainerRemote` -> `container_remote`: how a model's name is spelt in href parameters. */
export const snakeCase = (name: string): string => name.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase();

/** `container`, `ContainerRemote`, id -> `prn:container.containerremote:<id>`: the other name of a resource (spec: core, addressing). */
export const prnOf = (plugin: string, model: string, id: string | number): string => `prn:${plugin}.${model.toLowerCase()}:${id}`;

/** The collection of master-and-detail rows of this pulp_type: `repositories`, `container.container` -> `/pulp/api/v3/repositories/container/container/`. */
export const collectionOf = (kind: 'repositories' | 'remotes' | 'distributions' | 'contentguards', pulpType: string): string =>
  `${API_ROOT}${kind}/${pulpType.replace('.', '/')}/`;

export const taskHref = (id: string): string => `${API_ROOT}tasks/${id}/`;
export const taskGroupHref = (id: string): string => `${API_ROOT}task-groups/${id}/`;
export const userHref = (id: number): string => `${API_ROOT}users/${id}/`;
export const groupHref = (id: number): string => `${API_ROOT}groups/${id}/`;
export const artifactHref = (id: string): string => `${API_ROOT}artifacts/${id}/`;
export const versionPrn = (id: string): string => prnOf('core', 'RepositoryVersion', id);

type Place = Pick<Resource, 'kind' | 'plugin' | 'endpoint'>;

/** `['remotes', 'container', 'container']`; core has no plugin segment unless it has an endpoint. */
export const pieces = (resource: Place): string[] =>
  [resource.kind, resource.endpoint ? resource.plugin : '', resource.endpoint].filter((piece) => piece !== '');

/** `remotes/container/container`, with `/versions` for rows below its members: what a resource is called in the catalog. */
export const resourceKey = (resource: Resource): string =>
  resource.nested ? `${resourceKey(resource.nested.parent)}/${resource.nested.segment}` : pieces(resource).join('/');

/** `/pulp/api/v3/remotes/container/container/` */
export const collectionPath = (resource: Place): string => `${API_ROOT}${pieces(resource).join('/')}/`;

/** The href of a row that lives directly in its resource's collection. */
export const hrefOf = (resource: Place, id: string | number): string => `${collectionPath(resource)}${id}/`;

/** `container.containerremote`: the PRN's middle part. */
export const prnType = (resource: Pick<Resource, 'plugin' | 'model' | 'prn'>): string =>
  resource.prn ?? `${resource.plugin}.${resource.model.toLowerCase()}`;

/** `container`, `ContainerRemote`, `view` -> `container.view_containerremote` */
export const permissionOf = (resource: Pick<Resource, 'plugin' | 'model'>, verb: string): string =>
  verb.includes('.') ? verb : `${resource.plugin}.${verb}_${resource.model.toLowerCase()}`;

/** A resource as a client named it: by path or by PRN. */
export type Reference =
  | { readonly by: 'href'; readonly collection: string; readonly id: string; readonly version?: number }
  | { readonly by: 'prn'; readonly type: string; readonly id: string };

const HREF = new RegExp(
  `^(?:https?://[^/]+)?(${API_ROOT}(?:[a-z0-9_-]+/){1,3})(?:(${UUID})/(?:versions/(\\d{1,9})/)?|(\\d{1,9})/)$`,
);
const PRN = /^prn:([a-z_]+\.[a-z_]+):([0-9a-f-]{1,36})$/;

/** Reads an href (path or URL) or a PRN; undefined where it is neither. */
export function parseReference(text: string): Reference | undefined {
  const prn = PRN.exec(text);
  if (prn) return { by: 'prn', type: prn[1] as string, id: prn[2] as string };
  const href = HREF.exec(text);
  if (!href) return undefined;
  const [, collection = '', uuid, version, number = ''] = href as (string | undefined)[];
  return { by: 'href', collection, id: uuid ?? number, ...(version === undefined ? {} : { version: Number(version) }) };
}
