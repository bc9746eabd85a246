/** Root of the REST API. */
export const API_ROOT = '/pulp/api/v3/';

/** `ContainerRemote` -> `container_remote`: how a model's name is spelt in href parameters. */
export const snakeCase = (name: string): string => name.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase();

/** `container`, `ContainerRemote`, id -> `prn:container.containerremote:<id>`: the other name of a resource (spec: core, addressing). */
export const prnOf = (plugin: string, model: string, id: string | number): string => `prn:${plugin}.${model.toLowerCase()}:${id}`;

/** The collection of master-and-detail rows of this pulp_type: `repositories`, `container.container` -> `/pulp/api/v3/repositories/container/container/`. */
export const collectionOf = (kind: 'repositories' | 'remotes' | 'distributions' | 'contentguards', pulpType: string): string =>
  `${API_ROOT}${kind}/${pulpType.replace('.', '/')}/`;

export const taskHref = (id: string): string => `${API_ROOT}tasks/${id}/`;
export const userHref = (id: number): string => `${API_ROOT}users/${id}/`;
export const artifactHref = (id: string): string => `${API_ROOT}artifacts/${id}/`;
export const versionPrn = (id: string): string => prnOf('core', 'RepositoryVersion', id);
