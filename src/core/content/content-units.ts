import type { ApiRequest } from '../../kit/api.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { isUuid } from '../../kit/names.ts';
import { noReference, visibleIds } from '../../kit/references.ts';

/**
 * The ids of the plugin's content that hrefs or PRNs in a body name, each once. Throws what `refuse` makes of the reason where one
 * names no content of the plugin that the caller may see.
 */
export async function contentUnits(
  names: readonly string[],
  plugin: string,
  request: ApiRequest,
  refuse: (message: string) => Error,
): Promise<string[]> {
  const { catalog } = request.services;
  const located = names.map((name) => {
    const unit = catalog.locate(name);
    if (!unit || !isUuid(unit.id) || unit.version !== undefined) throw refuse(noReference(name));
    return { name, ...unit };
  });
  const found = new Set<string>();
  const kinds = new Set(located.map((unit) => unit.resource).filter((resource) => isUnit(resource, plugin)));
  for (const resource of kinds) {
    const ids = located.filter((unit) => unit.resource === resource).map((unit) => unit.id);
    for (const id of await visibleIds(resource, ids, request)) found.add(id);
  }
  const lost = located.filter((unit) => !isUnit(unit.resource, plugin) || !found.has(unit.id)).map(({ name }) => `'${name}'`);
  if (lost.length > 0) throw refuse(`Could not find the following content units: [${lost.join(', ')}]`);
  return [...found];
}

const isUnit = (resource: Resource, plugin: string): boolean => resource.contentType !== undefined && resource.plugin === plugin;
