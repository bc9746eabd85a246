import type { z } from 'zod';
import { contentUnits, namedVersion, seeContent } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import type { ApiReply, ApiRequest } from '../../../kit/api.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import type { Action, Fields, Resource, Row } from '../../../kit/define-resource.ts';
import type { TaskDefinition } from '../../../kit/define-task.ts';
import { RequestRefusedError, ValidationError } from '../../../kit/errors.ts';
import { prnType } from '../../../kit/names.ts';
import { resolveReference } from '../../../kit/references.ts';
import { choices, list, reference, text } from '../../../kit/wire.ts';
import type { Copied } from '../content/copies.ts';
import { allOf, inLatest, manifestInLatest } from '../content/latest-content.ts';
import { recursiveAdd } from '../tasks/recursive-add.ts';
import { recursiveRemove } from '../tasks/recursive-remove.ts';
import { tagImage } from '../tasks/tag-image.ts';
import { untagImage } from '../tasks/untag-image.ts';
import { MEDIA_TYPES } from './content.ts';

const ALL = '*';
/** Of a tag's name (OCI distribution spec, pulling manifests). */
const MAX_TAG = 128;
const ACCEPTED = [{ status: 202, component: ASYNC_RESPONSE }];
/** Items that the contract does not describe. */
const texts = () => list(text(), { json: {} });

const lockOf = (resource: Resource, id: string): string => `prn:${prnType(resource)}:${id}`;

/** Dispatches a task that holds the repository. */
async function dispatch<Args extends z.ZodType>(
  { request, resource, row }: { readonly request: ApiRequest; readonly resource: Resource; readonly row: Row },
  task: TaskDefinition<Args>,
  args: z.input<Args>,
  shared: readonly string[] = [],
): Promise<ApiReply> {
  const { href } = await request.dispatch(task, args, { exclusive: [lockOf(resource, row.id)], shared });
  return { status: 202, body: { task: href } };
}

const refuse = (message: string) => new RequestRefusedError(message);

const UNITS: Fields = { content_units: { wire: texts(), description: 'Hrefs or PRNs of content.' } };

/** The units that a body names. Throws ValidationError where one of several is `*`. */
function namedUnits(body: Readonly<Record<string, unknown>>): readonly string[] {
  const names = (body.content_units ?? []) as string[];
  if (names.length > 1 && names.includes(ALL)) {
    const given = names.map((name) => `'${name}'`).join(', ');
    throw new ValidationError({ non_field_errors: [`'${ALL}' should be the only item present in the [${given}]`] });
  }
  return names;
}

const add: Action = {
  method: 'post',
  summary: 'Add content, with all that it consists of',
  body: { component: 'RecursiveManage', fields: UNITS },
  responses: ACCEPTED,
  async run(input) {
    const ids = await contentUnits(namedUnits(input.body), 'container', input.request, refuse);
    // Orphan cleanup spares it until the task is there, and from then on because the task is.
    await seeContent(input.request.services.db, ids);
    return dispatch(input, recursiveAdd, { repository_id: input.row.id, selected: { from: 'units', ids } });
  },
};

const remove: Action = {
  method: 'post',
  summary: 'Remove content, with all that nothing else needs then',
  body: { component: 'RecursiveManage', fields: UNITS },
  responses: ACCEPTED,
  async run(input) {
    const names = namedUnits(input.body);
    const repository_id = input.row.id;
    if (names[0] === ALL) return dispatch(input, recursiveRemove, { repository_id, removed: { what: 'everything' } });
    const ids = await contentUnits(names, 'container', input.request, refuse);
    return dispatch(input, recursiveRemove, { repository_id, removed: { what: 'units', ids } });
  },
};

const SOURCE: Fields = {
  source_repository: { wire: reference(), description: 'The repository to copy from: its latest version.' },
  source_repository_version: { wire: reference(), description: 'The version to copy from.' },
};

interface Source {
  readonly repository_id: string;
  /** Null: the latest version, when the task runs. */
  readonly number: number | null;
  readonly lock: string;
}

/** The repository or version that a body says to copy from. Throws ValidationError where it is not one that the caller may see. */
async function sourceOf(resource: Resource, body: Readonly<Record<string, unknown>>, request: ApiRequest): Promise<Source> {
  const refused = (reason: string) =>
    new ValidationError({ non_field_errors: [`Either the 'repository' or 'repository_version' ${reason}`] });
  const { source_repository: repository, source_repository_version: version } = body;
  if (repository !== undefined && version !== undefined) throw refused('need to be specified but not both.');
  if (version !== undefined) {
    const field = 'source_repository_version';
    const { repository_id, number, pulp_type } = await namedVersion(field, String(version), request);
    if (!pulp_type.startsWith('container.'))
      throw new ValidationError({ [field]: [`${version} is a version of another kind of repository than this one.`] });
    return { repository_id, number, lock: lockOf(request.services.catalog.ofType('repositories', pulp_type), repository_id) };
  }
  if (repository === undefined) throw refused('needs to be specified');
  const { row } = await resolveReference('source_repository', String(repository), [resource], request);
  return { repository_id: row.id, number: null, lock: lockOf(resource, row.id) };
}

/** Copies content of another repository; `what` reads the body's own fields. */
const copy = (
  summary: string,
  component: string,
  fields: Fields,
  what: (body: Readonly<Record<string, unknown>>) => Copied,
): Action => ({
  method: 'post',
  summary,
  body: { component, fields: { ...SOURCE, ...fields } },
  responses: ACCEPTED,
  async run(input) {
    const { lock, ...source } = await sourceOf(input.resource, input.body, input.request);
    // What holds the repository need not share it with itself.
    const shared = source.repository_id === input.row.id ? [] : [lock];
    const selected = { from: 'version' as const, source, copied: what(input.body) };
    return dispatch(input, recursiveAdd, { repository_id: input.row.id, selected }, shared);
  },
});

const listed = (value: unknown): string[] | null => (value === undefined ? null : (value as string[]));

const copyTags = copy(
  'Copy tags, with what they name',
  'TagCopy',
  { names: { wire: texts(), description: 'Names of the tags; default: all.' } },
  ({ names }) => ({ kind: 'tags', names: listed(names) }),
);

const copyManifests = copy(
  'Copy manifests, with what they consist of',
  'ManifestCopy',
  {
    digests: { wire: texts(), description: 'Digests of the manifests; default: all.' },
    media_types: { wire: choices(MEDIA_TYPES), description: 'Media types of the manifests; default: all.' },
  },
  ({ digests, media_types }) => ({ kind: 'manifests', digests: listed(digests), media_types: listed(media_types) }),
);

const tagName = {
  wire: text({
    pattern: {
      matches: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
      message:
        'The provided tag is not valid. A tag may contain lowercase and uppercase ASCII alphabetic characters, digits, underscores, periods, and dashes. A tag must not start with a period or a dash.',
    },
  }),
  required: true as const,
  description: 'Name of the tag.',
};
const digest = { wire: text(), required: true as const, description: 'Digest of the manifest.' };

const absent = (what: string, { name, latest_version }: Row) =>
  new ValidationError({
    non_field_errors: [
      `${what} does not exist in the latest repository version '<Repository: ${name}; Version: ${latest_version}>'`,
    ],
  });

/** The id of a manifest of the latest version. Throws ValidationError where that has none of the digest. */
async function presentManifest(wanted: string, row: Row, request: ApiRequest): Promise<string> {
  const id = await manifestInLatest(request.services.db, row.id, wanted);
  if (id === undefined) throw absent(`A manifest with the digest '${wanted}'`, row);
  return id;
}

/** `tag/`: names a manifest of the latest version; a tag of that name moves. */
const tag: Action = {
  method: 'post',
  summary: 'Tag a manifest',
  body: { component: 'TagImage', fields: { tag: tagName, digest } },
  responses: ACCEPTED,
  async run(input) {
    const named = input.body as { tag: string; digest: string };
    if (named.tag.length > MAX_TAG) throw new ValidationError({ tag: [`A tag has no more than ${MAX_TAG} characters.`] });
    await presentManifest(named.digest, input.row, input.request);
    return dispatch(input, tagImage, { repository_id: input.row.id, ...named });
  },
};

/** `untag/`: removes a tag; what it names stays. */
const untag: Action = {
  method: 'post',
  summary: 'Remove a tag',
  body: { component: 'UnTagImage', fields: { tag: tagName } },
  responses: ACCEPTED,
  async run(input) {
    const name = input.body.tag as string;
    const [present] = await input.request.services.db.query(
      sql`select from container_tag t where t.name = ${name} and ${inLatest(input.row.id, sql`t.id`)}`,
    );
    if (!present) throw absent(`The tag '${name}'`, input.row);
    return dispatch(input, untagImage, { repository_id: input.row.id, tag: name });
  },
};

/** `remove_image/`: removes a manifest with its tags, and all that nothing else needs then. */
const removeImage: Action = {
  method: 'post',
  summary: 'Remove an image',
  body: { component: 'RemoveImage', fields: { digest } },
  responses: ACCEPTED,
  async run(input) {
    const id = await presentManifest(input.body.digest as string, input.row, input.request);
    return dispatch(input, recursiveRemove, { repository_id: input.row.id, removed: { what: 'images', ids: [id] } });
  },
};

/** `remove_signatures/`: removes the signatures that a key has made. */
const removeSignatures: Action = {
  method: 'post',
  summary: 'Remove the signatures of a key',
  body: {
    component: 'RemoveSignatures',
    fields: {
      signed_with_key_id: { wire: text(), required: true, description: 'Id of the key, 16 hexadecimal digits in upper case.' },
    },
  },
  responses: ACCEPTED,
  async run(input) {
    const { row, request, body } = input;
    const key = body.signed_with_key_id as string;
    const made = await request.services.db.query<{ id: string }>(
      sql`select s.id from container_signature s where s.key_id = ${key} and s.id in (${allOf(row.id)})`,
    );
    if (made.length === 0) {
      const version = `'<Repository: ${row.name}; Version: ${row.latest_version}>'`;
      const none = `There are no signatures in the latest repository version ${version} produced with the specified key_id '${key}'`;
      throw new ValidationError({ non_field_errors: [none] });
    }
    const ids = made.map(({ id }) => id);
    return dispatch(input, recursiveRemove, { repository_id: row.id, removed: { what: 'units', ids } });
  },
};

/** What every repository of images offers (spec: repositories, Container actions). */
export const tagActions = { tag, untag };

/** What repositories offer whose content is changed by the REST API. */
export const contentActions = { ...tagActions, add, remove, copy_tags: copyTags, copy_manifests: copyManifests };

/** What repositories offer that pushes make. */
export const pushedContentActions = { ...tagActions, remove_image: removeImage, remove_signatures: removeSignatures };
