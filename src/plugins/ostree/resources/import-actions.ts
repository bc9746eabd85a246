import { buffer } from 'node:stream/consumers';
import type { z } from 'zod';
import { artifact, seeArtifact } from '../../../core/plugin-api.ts';
import type { ApiReply, ApiRequest } from '../../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import type { Action, Fields, Row } from '../../../kit/define-resource.ts';
import type { TaskDefinition } from '../../../kit/define-task.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { prnOf } from '../../../kit/names.ts';
import { resolveReference } from '../../../kit/references.ts';
import { reference, text } from '../../../kit/wire.ts';
import { TAR_HEAD_BYTES, tarRefusal } from '../imports/tar-stream.ts';
import { importAll } from '../tasks/import-all.ts';
import { importCommits } from '../tasks/import-commits.ts';

interface ImportKind<Args extends z.ZodType> {
  readonly component: string;
  readonly summary: string;
  readonly fields?: Fields;
  readonly task: TaskDefinition<Args>;
  readonly args: (from: ImportSource, body: Readonly<Record<string, unknown>>) => z.input<Args>;
}

/** What every import is from and to. */
interface ImportSource {
  readonly repository_id: string;
  readonly artifact_id: string;
  readonly repository_name: string;
}

const importAction = <Args extends z.ZodType>(kind: ImportKind<Args>): Action => ({
  method: 'post',
  summary: kind.summary,
  body: {
    component: kind.component,
    fields: {
      artifact: {
        wire: reference(),
        required: true,
        description: 'A tar, plain or compressed by gzip, bzip2 or xz, with a repository in it.',
      },
      repository_name: { wire: text(), required: true, description: "The repository's folder in the tar." },
      ...kind.fields,
    },
  },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, row, body }): Promise<ApiReply> {
    const tar = (await resolveReference('artifact', body.artifact as string, [artifact], request)).row;
    // Orphan cleanup spares it until the task is there, and from then on because the task is.
    if (!(await seeArtifact(request.services.db, tar.id as string)))
      throw new ValidationError({ artifact: ['Invalid hyperlink - Object does not exist.'] });
    await checkTar(tar, request);
    const from = { repository_id: row.id, artifact_id: tar.id, repository_name: body.repository_name as string };
    const task = await request.dispatch(kind.task, kind.args(from, body), {
      exclusive: [prnOf('ostree', 'OstreeRepository', row.id), prnOf('core', 'Artifact', tar.id)],
    });
    return { status: 202, body: { task: task.href } };
  },
});

/** Throws ValidationError for an artifact whose first bytes are not those of a tar. */
async function checkTar({ file, size }: Row, { services: { storage } }: ApiRequest): Promise<void> {
  const length = Math.min(size as number, TAR_HEAD_BYTES);
  const head = length === 0 ? Buffer.alloc(0) : await buffer(await storage.read(file as string, { start: 0, length }));
  const refusal = tarRefusal(head);
  if (refusal !== undefined) throw new ValidationError({ non_field_errors: [refusal] });
}

/** `import_all/`: takes all refs of a repository in a tar, with their history. */
export const importAllAction = importAction({
  component: 'OstreeImportAll',
  summary: 'Import a repository from a tar',
  task: importAll,
  args: (from) => ({ ...from }),
});

/** `import_commits/`: takes the commits that follow those of a ref from a repository in a tar. */
export const importCommitsAction = importAction({
  component: 'OstreeImportCommitsToRef',
  summary: 'Import the commits that follow a ref from a tar',
  fields: { ref: { wire: text(), required: true, description: 'Name of the ref.' } },
  task: importCommits,
  args: (from, body) => ({ ...from, ref: body.ref as string }),
});
