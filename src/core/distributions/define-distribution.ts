import { raw, sql } from '../../db/sql.ts';
import { defineResource, type Resource, type Store } from '../../kit/define-resource.ts';
import { labelActions } from '../../kit/labels.ts';
import { baseFields } from '../../kit/serialize.ts';
import { roleActions } from '../access/role-actions.ts';
import { detailColumns } from '../detail-columns.ts';
import {
  DISTRIBUTION_FILTERS,
  DISTRIBUTION_ORDERING,
  distributionColumns,
  distributionFields,
  distributionJoins,
  distributionStore,
  validateDistribution,
} from './distribution-fields.ts';

/** What makes a kind of distribution another one than the rest. */
export interface DistributionKind
  extends Pick<Resource, 'plugin' | 'endpoint' | 'model' | 'title' | 'description' | 'policy' | 'roles'>,
    Partial<Pick<Resource, 'fields' | 'filters' | 'ordering' | 'validate' | 'deletesToo'>> {
  /** Its table, `d`, and that table's own columns. */
  readonly detail: { readonly table: string; readonly columns: readonly string[] };
  /** What else is written, around the store that every kind has. */
  readonly store?: (plain: Store) => Store;
}

/** A kind of distribution. Its pulp_type is plugin and endpoint. */
export function defineDistribution(definition: DistributionKind): Resource {
  const { detail, fields, filters, ordering, validate, store = (plain) => plain, ...kind } = definition;
  const place = { kind: 'distributions', plugin: kind.plugin, endpoint: kind.endpoint, model: kind.model } as const;
  return defineResource({
    ...kind,
    ...place,
    fields: { ...baseFields(place), ...distributionFields, ...fields },
    filters: { ...DISTRIBUTION_FILTERS, ...filters },
    ordering: { ...DISTRIBUTION_ORDERING, ...ordering },
    verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
    mutation: { create: 'task', update: 'task', delete: 'task' },
    multiDelete: true,
    actions: { ...labelActions('distribution', 200), ...roleActions },
    validate: async (input) => {
      await validateDistribution(input);
      await validate?.(input);
    },
    select: sql`${distributionColumns}${detailColumns(detail.columns)}`,
    from: sql`distribution m join ${raw(detail.table)} d on d.id = m.id ${distributionJoins}`,
    counted: {
      table: 'distribution',
      pulpType: `${kind.plugin}.${kind.endpoint}`,
      from: sql`distribution m left join ${raw(detail.table)} d on d.id = m.id ${distributionJoins}`,
    },
    store: store(
      distributionStore({
        pulpType: `${kind.plugin}.${kind.endpoint}`,
        detail,
        counted: ['core.Distribution', `${kind.plugin}.${kind.model}`],
      }),
    ),
  });
}
