import { empty, raw, type Sql, sql } from '../../db/sql.ts';
import { defineResource, type Resource } from '../../kit/define-resource.ts';
import { labelActions } from '../../kit/labels.ts';
import { contentFields } from './content-fields.ts';
import { CONTENT_FILTERS } from './content-filters.ts';

/** What makes a kind of content another one than the rest. */
export interface ContentKind
  extends Pick<Resource, 'plugin' | 'endpoint' | 'model' | 'title' | 'description' | 'policy' | 'fields'> {
  /** `container.blob` */
  readonly pulpType: string;
  /** Its table, `d`; a row shares the id of the content row, `m`. */
  readonly table: string;
  /** What is selected beside the columns of `m`, and what is joined for it. */
  readonly select: Sql;
  readonly joins?: Sql;
  readonly filters?: NonNullable<Resource['filters']>;
  readonly ordering: Resource['ordering'];
  /** The status of a set label that the contract names; default: 200. */
  readonly labelStatus?: 201;
}

/** A kind of content: listed, read and labelled. */
export function defineContent(kind: ContentKind): Resource {
  const { plugin, endpoint, model, title, description, policy, fields, ordering } = kind;
  const place = { kind: 'content', plugin, endpoint, model } as const;
  return defineResource({
    ...place,
    title,
    description,
    ...(policy ? { policy } : {}),
    contentType: kind.pulpType,
    fields: { ...contentFields(place), ...fields },
    filters: { ...CONTENT_FILTERS, ...kind.filters },
    ordering,
    verbs: ['list', 'read'],
    actions: labelActions('content', kind.labelStatus ?? 200),
    counted: {
      table: 'content',
      pulpType: kind.pulpType,
      from: sql`content m left join ${raw(kind.table)} d on d.id = m.id ${kind.joins ?? empty}`,
    },
    select: sql`m.*, ${kind.select}`,
    from: sql`content m join ${raw(kind.table)} d on d.id = m.id ${kind.joins ?? empty}`,
  });
}
