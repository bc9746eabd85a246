import { raw, sql } from '../../db/sql.ts';
import { defineResource, type Resource } from '../../kit/define-resource.ts';
import { labelActions } from '../../kit/labels.ts';
import { baseFields } from '../../kit/serialize.ts';
import { roleActions } from '../access/role-actions.ts';
import { detailColumns } from '../detail-columns.ts';
import {
  REPOSITORY_FILTERS,
  REPOSITORY_ORDERING,
  repositoryColumns,
  repositoryFields,
  repositoryJoins,
  repositoryStore,
} from './repository-fields.ts';

/** What makes a kind of repository another one than the rest. */
export interface RepositoryKind
  extends Pick<
    Resource,
    'plugin' | 'endpoint' | 'model' | 'title' | 'description' | 'policy' | 'permissions' | 'roles' | 'fields' | 'actions'
  > {
  /** Only pushes make it: it is neither made nor deleted by itself, nor synced, and its labels are changed with the rest. */
  readonly pushed?: true;
  /** Its table, `d`, and that table's own columns. */
  readonly detail: { readonly table: string; readonly columns: readonly string[] };
}

/** A kind of repository. Its pulp_type is plugin and endpoint, and so is that of its remotes. */
export function defineRepository({ detail, fields, actions, pushed, ...kind }: RepositoryKind): Resource {
  const place = { kind: 'repositories', plugin: kind.plugin, endpoint: kind.endpoint, model: kind.model } as const;
  const pulpType = `${kind.plugin}.${kind.endpoint}`;
  const { remote, ...unsynced } = repositoryFields(pulpType);
  return defineResource({
    ...kind,
    ...place,
    fields: { ...baseFields(place), ...unsynced, ...(pushed ? {} : { remote }), ...fields },
    filters: REPOSITORY_FILTERS,
    ordering: REPOSITORY_ORDERING,
    verbs: pushed
      ? ['list', 'read', 'update', 'partial_update']
      : ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
    mutation: { create: 'sync', update: 'task', delete: 'task' },
    slowDelete: true,
    actions: { ...(pushed ? {} : labelActions('repository')), ...roleActions, ...actions },
    select: sql`${repositoryColumns}${detailColumns(detail.columns)}`,
    from: sql`repository m join ${raw(detail.table)} d on d.id = m.id ${repositoryJoins}`,
    counted: {
      table: 'repository',
      pulpType: `${kind.plugin}.${kind.endpoint}`,
      from: sql`repository m left join ${raw(detail.table)} d on d.id = m.id ${repositoryJoins}`,
    },
    store: repositoryStore({ pulpType, detail, counted: ['core.Repository', `${kind.plugin}.${kind.model}`] }),
  });
}
