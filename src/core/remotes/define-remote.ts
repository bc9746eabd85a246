import { raw, sql } from '../../db/sql.ts';
import { defineResource, type Resource } from '../../kit/define-resource.ts';
import { labelActions } from '../../kit/labels.ts';
import { baseFields } from '../../kit/serialize.ts';
import { tableStore } from '../../kit/store.ts';
import { roleActions } from '../access/role-actions.ts';
import { detailColumns } from '../detail-columns.ts';
import { REMOTE_FILTERS, REMOTE_ORDERING, remoteFields } from './remote-fields.ts';

/** What makes a kind of remote another one than the rest. */
export interface RemoteKind
  extends Pick<Resource, 'plugin' | 'endpoint' | 'model' | 'title' | 'description' | 'policy' | 'roles' | 'fields' | 'renamed'> {
  /** When content may be fetched; the first is the default. */
  readonly policies: readonly string[];
  /** Write-only names that are never set, for `hidden_fields`. */
  readonly aliases?: readonly string[];
  /** Its table, `d`, and that table's own columns. */
  readonly detail: { readonly table: string; readonly columns: readonly string[] };
}

/** A kind of remote. Its pulp_type is plugin and endpoint. */
export function defineRemote({ policies, aliases = [], detail, fields, ...kind }: RemoteKind): Resource {
  const place = { kind: 'remotes', plugin: kind.plugin, endpoint: kind.endpoint, model: kind.model } as const;
  return defineResource({
    ...kind,
    ...place,
    fields: { ...baseFields(place), ...remoteFields(policies, aliases), ...fields },
    filters: REMOTE_FILTERS,
    ordering: REMOTE_ORDERING,
    verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
    mutation: { create: 'sync', update: 'task', delete: 'task' },
    actions: { ...labelActions('remote'), ...roleActions },
    select: sql`m.*${detailColumns(detail.columns)}`,
    from: sql`remote m join ${raw(detail.table)} d on d.id = m.id`,
    counted: {
      table: 'remote',
      pulpType: `${kind.plugin}.${kind.endpoint}`,
      from: sql`remote m left join ${raw(detail.table)} d on d.id = m.id`,
    },
    store: tableStore({
      master: 'remote',
      pulpType: `${kind.plugin}.${kind.endpoint}`,
      detail,
      counted: ['core.Remote', `${kind.plugin}.${kind.model}`],
    }),
  });
}
