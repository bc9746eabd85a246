import type { Fields, Resource, Row } from '../kit/define-resource.ts';
import { choiceFilter, type Filter } from '../kit/filters.ts';
import { hrefOf, prnType } from '../kit/names.ts';
import { type CountedTable, keptCount } from '../kit/row-counts.ts';
import type { Services } from '../kit/services.ts';
import { described } from '../kit/wire.ts';

/** The resource that a row of a master table belongs to. */
export const resourceOf = (kind: string, row: Row, services: Services): Resource =>
  services.catalog.ofType(kind, row.pulp_type as string);

/** Path and name of rows of mixed types: each row is addressed as a row of its own resource. */
export const genericBaseFields = (kind: 'repositories' | 'remotes' | 'distributions' | 'contentguards'): Fields => ({
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of this resource.',
    value: (row, services) => hrefOf(resourceOf(kind, row, services), row.id),
  },
  prn: {
    wire: described({ type: 'string' }),
    access: 'read',
    description: 'Pulp resource name: the other way to refer to this resource.',
    value: (row, services) => `prn:${prnType(resourceOf(kind, row, services))}:${row.id}`,
  },
});

/** The filters by which a list across types is narrowed to some; `types` are all that the contract names, `table` is where their numbers are kept. */
export const typeFilters = (types: readonly string[], table?: CountedTable): Readonly<Record<string, Filter>> => ({
  pulp_type: {
    ...choiceFilter('m.pulp_type', types),
    ...(table ? { total: (values, { services }) => keptCount(services.db, table, values.slice(-1)) } : {}),
  },
  pulp_type__in: choiceFilter('m.pulp_type', types, 'many'),
});
