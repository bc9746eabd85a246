import type { ApiRequest } from './api.ts';
import type { Field, Fields, Resource, Row } from './define-resource.ts';
import { hrefOf, prnType } from './names.ts';
import type { Services } from './services.ts';
import { described } from './wire.ts';

type Named = Pick<Resource, 'kind' | 'plugin' | 'endpoint' | 'model' | 'prn'>;

/** The names that a row is referred to by. */
export const nameFields = (resource: Named): Fields => ({
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of this resource.',
    value: (row) => hrefOf(resource, row.id),
  },
  prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name: the other way to refer to this resource.',
    value: (row) => `prn:${prnType(resource)}:${row.id}`,
  },
});

export const timeFields = {
  pulp_created: { wire: described({ type: 'string', format: 'date-time' }), access: 'read', description: 'When it was created.' },
  pulp_last_updated: {
    wire: described({ type: 'string', format: 'date-time' }),
    access: 'read',
    description: 'When it was last changed.',
  },
} satisfies Fields;

/** The four fields that almost every resource answers with. */
export const baseFields = (resource: Named): Fields => ({ ...nameFields(resource), ...timeFields });

/** Says which of the fields that are only taken are set: `set` answers them for a row, in order. */
export const hiddenFields = (set: (row: Row) => readonly (readonly [name: string, isSet: boolean])[]): Field => ({
  wire: described({
    type: 'array',
    items: {
      type: 'object',
      properties: { name: { type: 'string' }, is_set: { type: 'boolean' } },
      required: ['is_set', 'name'],
    },
  }),
  access: 'read',
  description: 'The write-only fields, and whether they are set.',
  value: (row) => set(row).map(([name, is_set]) => ({ name, is_set })),
});

/** The names that a query's `fields`, `exclude_fields` or a reducing flag leave; undefined for all. */
export function wantedFields(resource: Resource, request: ApiRequest): ReadonlySet<string> | undefined {
  const names = (parameter: string) =>
    (request.query[parameter] ?? [])
      .flatMap((value) => value.split(','))
      .map((name) => name.trim())
      .filter((name) => name !== '');
  const reduced = Object.entries(resource.reduced ?? {}).find(([flag]) =>
    /^(true|1|yes|on|t|y)$/i.test(request.query[flag]?.at(-1) ?? ''),
  );
  const only = names('fields');
  const without = new Set(names('exclude_fields'));
  if (!reduced && only.length === 0 && without.size === 0) return undefined;
  const from = reduced ? reduced[1] : Object.keys(resource.fields);
  return new Set(from.filter((name) => (only.length === 0 || only.includes(name)) && !without.has(name)));
}

/** A row as the API answers it. Secrets and write-only aliases never come back. */
export function serialize(
  resource: Resource,
  row: Row,
  services: Services,
  wanted?: ReadonlySet<string>,
): Record<string, unknown> {
  const answer: Record<string, unknown> = {};
  for (const name of Object.keys(resource.fields)) {
    const field = resource.fields[name];
    if (field === undefined || field.access === 'write' || (wanted && !wanted.has(name))) continue;
    answer[name] = field.value ? field.value(row, services) : (row[name] ?? null);
  }
  return answer;
}
