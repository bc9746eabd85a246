import type { ApiRequest } from '../../kit/api.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { isUuid } from '../../kit/names.ts';
import { visibleIds } from '../../kit/references.ts';

/** A row that a body names. */
export interface NamedRow {
  readonly resource: Resource;
  readonly id: string;
}

const notValid = (name: string): string =>
  name.startsWith('prn:') ? `PRN must be of the form 'prn:app_label.model_label:pk': ${name}` : `URI not valid: ${name}`;

/**
 * The rows that hrefs or PRNs name, each of one of the resources that `isOne` is true of, and visible to the caller. `word` is what they are
 * called in messages. Throws ValidationError under the field's name, for the first that is none.
 */
export async function namedRows(
  field: string,
  names: readonly string[],
  word: string,
  isOne: (resource: Resource) => boolean,
  request: ApiRequest,
): Promise<NamedRow[]> {
  const refuse = (message: string) => new ValidationError({ [field]: [message] });
  if (names.length === 0) throw refuse('Must not be [].');
  const located = names.map((name) => {
    const row = request.services.catalog.locate(name);
    if (!row) throw refuse(notValid(name));
    return { name, ...row };
  });
  const wanted = located.filter(({ resource, id, version }) => isOne(resource) && isUuid(id) && version === undefined);
  const found = new Set<string>();
  for (const resource of new Set(wanted.map((row) => row.resource))) {
    const ids = wanted.filter((row) => row.resource === resource).map(({ id }) => id);
    for (const id of await visibleIds(resource, ids, request)) found.add(id);
  }
  const lost = located.find((row) => !wanted.includes(row) || !found.has(row.id));
  if (lost) throw refuse(`URI ${lost.name} not found for ${word}.`);
  return wanted.map(({ resource, id }) => ({ resource, id }));
}
