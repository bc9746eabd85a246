import { sql } from '../../db/sql.ts';
import type { ApiReply, ApiRequest, Operation } from '../../kit/api.ts';
import { parseBody } from '../../kit/body.ts';
import { ASYNC_RESPONSE, requestComponent } from '../../kit/components.ts';
import type { Fields, Resource } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { prnType } from '../../kit/names.ts';
import { DIAGNOSTICS, FORMS, plainPath } from '../../kit/operations.ts';
import { bool, integer, list, reference, text } from '../../kit/wire.ts';
import { namedVersion } from '../repositories/named-version.ts';
import { orphansLock } from './horizon.ts';
import { namedRows } from './named-rows.ts';
import { orphanCleanup } from './orphan-cleanup.ts';
import { reclaimSpace } from './reclaim-space.ts';
import { repairAll } from './repair-tasks.ts';
import { VERIFY_CHECKSUMS } from './verify-checksums.ts';

const MAX_PROTECTION = 2 ** 32 - 1;

const lock = ({ services }: ApiRequest, name: string): string => `pdrn:${services.domain.id}:${name}`;

/** An operation of administrators that starts a task. */
const starting = (
  operation: Pick<Operation, 'operationId' | 'method' | 'tag' | 'summary'> & {
    readonly path: string;
    readonly body?: { readonly component: string; readonly fields: Fields };
    readonly start: (request: ApiRequest, body: Record<string, unknown>) => Promise<{ readonly href: string }>;
  },
): Operation => {
  const { path, body, start, ...described } = operation;
  return {
    ...described,
    ...plainPath(path),
    plugin: 'core',
    parameters: [DIAGNOSTICS],
    ...(body ? { body: { component: requestComponent(body.component, body.fields), mediaTypes: FORMS } } : {}),
    responses: [{ status: 202, component: ASYNC_RESPONSE }],
    audience: 'administrators',
    handler: async (request): Promise<ApiReply> => {
      const parsed = body ? parseBody(request.body, { fields: body.fields, partial: false, form: request.form }) : {};
      return { status: 202, body: { task: (await start(request, parsed)).href } };
    },
  };
};

/** What a list of anything that names a resource looks like in the document. */
const names = list(text(), { json: {} });

const startCleanup = async (request: ApiRequest, body: Record<string, unknown>) => {
  const hrefs = body.content_hrefs as string[] | undefined;
  const isContent = ({ kind }: { readonly kind: string }) => kind === 'content';
  const units = hrefs && (await namedRows('content_hrefs', hrefs, 'content', isContent, request));
  return request.dispatch(
    orphanCleanup,
    {
      content_ids: units ? units.map(({ id }) => id) : null,
      orphan_protection_time: (body.orphan_protection_time as number | null | undefined) ?? null,
      dry_run: (body.dry_run as boolean | undefined) ?? false,
    },
    { exclusive: [orphansLock(request.services.domain.id)] },
  );
};

/** The repositories that are named; with `*` all there are. Throws ValidationError. */
async function reclaimed(
  named: readonly string[],
  request: ApiRequest,
): Promise<readonly { readonly id: string; readonly pulp_type: string }[]> {
  const { services } = request;
  if (named.includes('*')) {
    if (named.length > 1) throw new ValidationError({ repo_hrefs: ["Can not specify other HREFs when using '*'"] });
    return services.db.query(sql`select id, pulp_type from repository where domain_id = ${services.domain.id}::uuid order by id`);
  }
  const isRepository = ({ kind, nested }: Resource) => kind === 'repositories' && !nested;
  const rows = await namedRows('repo_hrefs', named, 'repository', isRepository, request);
  return rows.map(({ resource, id }) => ({ id, pulp_type: `${resource.plugin}.${resource.endpoint}` }));
}

const startReclaim = async (request: ApiRequest, body: Record<string, unknown>) => {
  const named = body.repo_hrefs as string[];
  const repositories = await reclaimed(named, request);
  const kept = [];
  for (const href of (body.repo_versions_keeplist ?? []) as string[])
    kept.push(await namedVersion('repo_versions_keeplist', href, request));
  const { catalog } = request.services;
  const lockOf = (pulpType: string, id: string) =>
    `prn:${prnType(catalog.resource(`repositories/${pulpType.replace('.', '/')}`))}:${id}`;
  const shared = new Set([
    ...repositories.map(({ pulp_type, id }) => lockOf(pulp_type, id)),
    ...kept.map(({ pulp_type, repository_id }) => lockOf(pulp_type, repository_id)),
  ]);
  return request.dispatch(
    reclaimSpace,
    { repository_ids: repositories.map(({ id }) => id), kept_version_ids: kept.map(({ id }) => id) },
    { shared: [...shared], ...(shared.size === 0 ? { exclusive: [lock(request, 'reclaim_space')] } : {}) },
  );
};

/** Orphans, repair of all stored files, and reclaimed space: for administrators (spec: core, kit). */
export const upkeepOperations: readonly Operation[] = [
  starting({
    operationId: 'orphans_cleanup_cleanup',
    method: 'post',
    path: 'orphans/cleanup/',
    tag: 'Orphans: Cleanup',
    summary: 'Remove orphans',
    body: {
      component: 'OrphansCleanup',
      fields: {
        content_hrefs: { wire: names, description: 'Only these units, and the files of those; default: all orphans.' },
        orphan_protection_time: {
          wire: integer({ nullable: true, min: 0, max: MAX_PROTECTION }),
          description:
            'Minutes for which what was seen is spared; default: the setting PULP_ORPHAN_PROTECTION_TIME. What a task at work may rely on is spared in any case.',
        },
        dry_run: { wire: bool(), description: 'Say what would go, and remove nothing. Not known to Pulp.' },
      },
    },
    start: startCleanup,
  }),
  starting({
    operationId: 'orphans_delete',
    method: 'delete',
    path: 'orphans/',
    tag: 'Orphans',
    summary: 'Remove orphans (deprecated: POST orphans/cleanup/)',
    start: (request) => request.dispatch(orphanCleanup, {}, { exclusive: [orphansLock(request.services.domain.id)] }),
  }),
  starting({
    operationId: 'repair_post',
    method: 'post',
    path: 'repair/',
    tag: 'Repair',
    summary: 'Check all stored files, and fetch again those that are missing or damaged',
    body: { component: 'Repair', fields: VERIFY_CHECKSUMS },
    start: (request, { verify_checksums }) =>
      request.dispatch(repairAll, { verify_checksums: verify_checksums as boolean }, { exclusive: [lock(request, 'repair')] }),
  }),
  starting({
    operationId: 'repositories_reclaim_space_reclaim',
    method: 'post',
    path: 'repositories/reclaim_space/',
    tag: 'Repositories: Reclaim_Space',
    summary: 'Remove stored files that can be fetched again',
    body: {
      component: 'ReclaimSpace',
      fields: {
        repo_hrefs: { wire: names, required: true, description: "The repositories; ['*'] for all." },
        repo_versions_keeplist: {
          wire: list(reference()),
          description: 'Versions whose files stay.',
        },
      },
    },
    start: startReclaim,
  }),
];
