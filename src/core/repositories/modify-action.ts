import { z } from 'zod';
import type { ApiReply, ApiRequest } from '../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../kit/components.ts';
import type { Action } from '../../kit/define-resource.ts';
import type { TaskDefinition } from '../../kit/define-task.ts';
import { ValidationError } from '../../kit/errors.ts';
import { bool, list, reference, text } from '../../kit/wire.ts';
import { seeContent } from '../content/content-selection.ts';
import { contentUnits } from '../content/content-units.ts';
import { type NamedVersion, namedVersion } from './named-version.ts';

const ALL = '*';

/** What a task that modifies a repository is given. */
export const modifyArgs = z.strictObject({
  repository_id: z.uuid(),
  /** Ids of content. */
  add: z.array(z.uuid()),
  remove: z.union([z.literal(ALL), z.array(z.uuid())]),
  /** The version to start from; null: the latest. */
  base_version_id: z.uuid().nullable(),
  /** Whether an added unit may take the place of one that is there. */
  overwrite: z.boolean(),
});
export type ModifyArgs = z.output<typeof modifyArgs>;

export interface ModifyKind {
  /** PRN type of the repositories: `ostree.ostreerepository`. */
  readonly repositoryType: string;
  /** pulp_type of the repositories whose versions can be built upon. */
  readonly pulpType: string;
  readonly task: TaskDefinition<typeof modifyArgs>;
}

/** `modify/`: adds and removes content by name, by a task that holds the repository. */
export const modifyAction = (kind: ModifyKind): Action => ({
  method: 'post',
  summary: 'Modify the content of a repository',
  body: {
    component: 'RepositoryAddRemoveContent',
    fields: {
      add_content_units: { wire: list(text()), description: 'Content to add.' },
      remove_content_units: { wire: list(text()), description: 'Content to remove, or * for all that is there.' },
      base_version: { wire: reference(), description: 'The version to start from; default: the latest.' },
      overwrite: {
        wire: bool(),
        default: true,
        description: 'Whether what is added may take the place of content that has the same key.',
      },
    },
  },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, row, body }): Promise<ApiReply> {
    const app = kind.pulpType.split('.')[0] as string;
    const units = (field: string, names: readonly string[]) =>
      contentUnits(names, app, request, (message) => new ValidationError({ [field]: [message] }));
    const add = await units('add_content_units', (body.add_content_units ?? []) as string[]);
    const removed = (body.remove_content_units ?? []) as string[];
    if (removed.includes(ALL) && removed.length > 1)
      throw new ValidationError({ remove_content_units: [`Cannot supply content units and '${ALL}'.`] });
    const remove = removed[0] === ALL ? ALL : await units('remove_content_units', removed);
    const base = await baseVersion(kind, body.base_version as string | undefined, request);
    // Orphan cleanup spares it until the task is there, and from then on because the task is.
    await seeContent(request.services.db, add);
    const task = await request.dispatch(
      kind.task,
      { repository_id: row.id, add, remove, base_version_id: base?.id ?? null, overwrite: body.overwrite as boolean },
      locksOf(kind, row.id as string, base),
    );
    return { status: 202, body: { task: task.href } };
  },
});

/** A version of another repository must not go, nor be squashed into the next one, before it has been built upon. */
const locksOf = ({ repositoryType }: ModifyKind, id: string, base: NamedVersion | undefined) => ({
  exclusive: [`prn:${repositoryType}:${id}`],
  shared: base && base.repository_id !== id ? [`prn:${repositoryType}:${base.repository_id}`] : [],
});

async function baseVersion(kind: ModifyKind, named: string | undefined, request: ApiRequest): Promise<NamedVersion | undefined> {
  if (named === undefined) return undefined;
  const version = await namedVersion('base_version', named, request);
  if (version.pulp_type !== kind.pulpType) {
    throw new ValidationError({ base_version: [`${named} is a version of another kind of repository than this one.`] });
  }
  return version;
}
