import { z } from 'zod';
import { artifact, checkRelativePath, seeArtifacts } from '../../../core/plugin-api.ts';
import type { ApiReply, ApiRequest, FormPart } from '../../../kit/api.ts';
import { parseBody } from '../../../kit/body.ts';
import { ASYNC_RESPONSE } from '../../../kit/components.ts';
import type { Action, Fields } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { isUuid, prnType } from '../../../kit/names.ts';
import { noMatch, visibleIds } from '../../../kit/references.ts';
import { dictionary, reference, text, type Wire } from '../../../kit/wire.ts';
import { isTag } from '../oci/reference.ts';
import { buildImage } from '../tasks/build-image.ts';

const MAX_CONTAINERFILE_BYTES = 256 * 1024;
const MAX_ARTIFACTS = 1000;
const NO_OBJECT = 'Invalid hyperlink - Object does not exist.';

/** A small file of a form, read whole. */
const heldFile: Wire = {
  schema: z.instanceof(Buffer, { error: 'The submitted data was not a file. Check the encoding type on the form.' }),
  json: { type: 'string', format: 'binary' },
  nullable: false,
};

const fields: Fields = {
  containerfile: { wire: heldFile, description: 'The Containerfile: what the image is made of.' },
  containerfile_name: { wire: text({ blank: true }), description: 'Name of the Containerfile in `build_context`.' },
  build_context: {
    wire: reference({ nullable: true }),
    description: 'A version of a file repository, of which there are none here: `artifacts` are the files of the build.',
  },
  artifacts: {
    wire: dictionary(),
    description: 'JSON: the path that each file has in the context of the build, by the href or PRN of its artifact.',
  },
  tag: { wire: text(), default: 'latest', description: 'The tag of the image.' },
};

/** The body, parsed. */
interface Asked {
  readonly containerfile?: Buffer;
  readonly containerfile_name?: string;
  readonly build_context?: string | null;
  readonly artifacts?: Readonly<Record<string, unknown>>;
  readonly tag: string;
}

/** `build_image/`: builds an image from a Containerfile, by a task that holds the repository (spec: repositories, container actions). */
export const buildImageAction: Action = {
  method: 'post',
  summary: 'Build an image from a Containerfile',
  takesFiles: true,
  body: { component: 'OCIBuildImage', fields },
  responses: [{ status: 202, component: ASYNC_RESPONSE }],
  async run({ request, resource, row }): Promise<ApiReply> {
    const { parts, form } = request;
    const given = parts ? await readForm(parts) : (request.body ?? {});
    const asked = parseBody(given, { fields, partial: false, form }) as unknown as Asked;
    const containerfile = containerfileOf(asked);
    if (!isTag(asked.tag)) throw new ValidationError({ tag: [BAD_TAG] });
    const artifacts = await artifactsOf(asked.artifacts ?? {}, request);
    const task = await request.dispatch(
      buildImage,
      { repository_id: row.id, containerfile: containerfile.toString('base64'), artifacts, tag: asked.tag },
      { exclusive: [`prn:${prnType(resource)}:${row.id}`] },
    );
    return { status: 202, body: { task: task.href } };
  },
};

const BAD_TAG =
  'The provided tag is not valid. A tag may contain lowercase and uppercase ASCII alphabetic characters, digits, underscores, periods, and dashes. A tag must not start with a period or a dash.';

async function readForm(parts: AsyncIterable<FormPart>): Promise<Record<string, string | Buffer>> {
  const read = new Map<string, string | Buffer>();
  for await (const part of parts) {
    if (part.kind === 'field') read.set(part.name, part.value);
    else read.set(part.name, await heldBytes(part.name, part.bytes));
  }
  return Object.fromEntries(read);
}

async function heldBytes(name: string, bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > MAX_CONTAINERFILE_BYTES)
      throw new ValidationError({ [name]: [`Ensure this file has no more than ${MAX_CONTAINERFILE_BYTES} bytes.`] });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Throws ValidationError in the recorded words. */
function containerfileOf({ containerfile, containerfile_name: name, build_context: context }: Asked): Buffer {
  const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });
  if (containerfile?.length === 0) throw new ValidationError({ containerfile: ['The submitted file is empty.'] });
  if ((containerfile === undefined) === !name)
    throw refuse("Exactly one of 'containerfile' or 'containerfile_name' must be specified.");
  if (typeof context === 'string') throw new ValidationError({ build_context: [NO_OBJECT] });
  if (!containerfile) throw refuse("A 'build_context' must be specified when 'containerfile_name' is present.");
  return containerfile;
}

/** The artifacts that are named, of which the caller may see each, with their paths. Throws ValidationError. */
async function artifactsOf(
  named: Readonly<Record<string, unknown>>,
  request: ApiRequest,
): Promise<{ id: string; path: string }[]> {
  const refuse = (message: string) => new ValidationError({ artifacts: [message] });
  const { services } = request;
  const entries = Object.entries(named);
  if (entries.length > MAX_ARTIFACTS) throw refuse(`Ensure this field has no more than ${MAX_ARTIFACTS} artifacts.`);
  const wanted = entries.map(([name, path]) => {
    const located = services.catalog.locate(name);
    if (!located) throw refuse(noMatch(name));
    if (located.resource !== artifact || !isUuid(located.id)) throw refuse(NO_OBJECT);
    if (typeof path !== 'string' || path === '' || path.includes('\0')) throw refuse(`The path of ${name} is no text.`);
    checkRelativePath('artifacts', path);
    return { id: located.id, path };
  });
  const paths = new Set(wanted.map(({ path }) => path));
  if (paths.size < wanted.length) throw refuse('Two artifacts have the same path.');
  const folder = [...paths].flatMap(foldersAbove).find((path) => paths.has(path));
  if (folder !== undefined) throw refuse(`There is something below ${folder}, which is to be a file.`);
  const visible = await visibleIds(
    artifact,
    wanted.map(({ id }) => id),
    request,
  );
  // Orphan cleanup spares them until the task is there, and from then on because the task is.
  const seen = new Set((await seeArtifacts(services.db, visible)).map(({ id }) => id));
  if (wanted.some(({ id }) => !seen.has(id))) throw refuse(NO_OBJECT);
  return wanted;
}

/** `a/b/c`: `a`, `a/b`. */
const foldersAbove = (path: string): string[] => {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
};
