import { signingServiceOf } from '../../../core/plugin-api.ts';
import type { Database } from '../../../db/database.ts';
import { sql } from '../../../db/sql.ts';
import type { ApiReply, ApiRequest } from '../../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import type { Action, Row } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { prnType } from '../../../kit/names.ts';
import { list, reference, text } from '../../../kit/wire.ts';
import { isRepositoryName } from '../oci/reference.ts';
import { sign } from '../tasks/sign.ts';
import { registryPath } from './distribution.ts';
import { manifestSigning } from './manifest-signing.ts';

const SERVICE = 'manifest_signing_service';
const PATH = 'future_base_path';

/** `sign/`: signs the images of a repository's latest version, by a task that holds the repository (spec: repositories, container actions). */
export const signAction: Action = {
  method: 'post',
  summary: 'Sign the images of a repository',
  body: {
    component: 'RepositorySign',
    fields: {
      [SERVICE]: { wire: reference({ nullable: true }), description: "The service that signs; default: the repository's own." },
      [PATH]: {
        wire: text(),
        description: 'The base path that the images will be pulled from, where there is not exactly one distribution to tell it.',
      },
      tags_list: { wire: list(text(), { json: {} }), description: 'Tags of the images that are signed; default: all.' },
    },
  },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, resource, row, body }): Promise<ApiReply> {
    const signing_service_id = await serviceOf(row, body[SERVICE] as string | null | undefined, request);
    const { db } = request.services;
    const path = await basePathOf(db, row.id, body[PATH] as string | undefined);
    const tags = (body.tags_list ?? []) as string[];
    await checkTags(db, row.id, tags);
    const task = await request.dispatch(
      sign,
      {
        repository_id: row.id,
        signing_service_id,
        reference: registryPath(request.services, path),
        tags: tags.length === 0 ? null : tags,
      },
      { exclusive: [`prn:${prnType(resource)}:${row.id}`] },
    );
    return { status: 202, body: { task: task.href } };
  },
};

async function serviceOf(repository: Row, named: string | null | undefined, request: ApiRequest): Promise<string> {
  if (typeof named === 'string') return signingServiceOf(SERVICE, named, manifestSigning, request);
  const own = repository.manifest_signing_service_id as string | null;
  if (own === null)
    throw new ValidationError({ [SERVICE]: ['This field is required since a signing_service is not set on the repo.'] });
  return own;
}

/** Where clients will pull the images from: they refuse signatures that are made for another name. */
async function basePathOf(db: Database, repositoryId: string, given: string | undefined): Promise<string> {
  const refuse = (message: string) => new ValidationError({ [PATH]: [message] });
  const [only, ...others] = await db.query<{ base_path: string }>(sql`
    select base_path from distribution where repository_id = ${repositoryId}::uuid limit 2`);
  if (only && others.length === 0) {
    if (given !== undefined) throw refuse('This field cannot be set since this repo has a single distribution.');
    return only.base_path;
  }
  if (given === undefined) throw refuse('This field is required since this repo has zero or multiple distributions.');
  if (!isRepositoryName(given)) throw refuse('The provided registry path contains forbidden characters.');
  return given;
}

/** A tag that is not there is a mistake: who asks for it believes that its image is signed then. */
async function checkTags(db: Database, repositoryId: string, tags: readonly string[]): Promise<void> {
  if (tags.length === 0) return;
  const unknown = await db.query<{ name: string }>(sql`
    select given.name from unnest(${tags}::text[]) as given(name)
    where not exists (select from container_tag t join repository_content rc on rc.content_id = t.id
      where t.name = given.name and rc.repository_id = ${repositoryId}::uuid and rc.version_removed is null)`);
  if (unknown.length > 0) {
    const names = unknown.map(({ name }) => `'${name}'`).join(', ');
    throw new ValidationError({ tags_list: [`The latest repository version has no such tags: ${names}.`] });
  }
}
