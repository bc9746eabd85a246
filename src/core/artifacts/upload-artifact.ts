import { z } from 'zod';
import type { ApiRequest } from '../../kit/api.ts';
import { parseBody } from '../../kit/body.ts';
import type { Fields } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import type { Services } from '../../kit/services.ts';
import { integer, text, type Wire } from '../../kit/wire.ts';
import { CHECKSUM_NAMES, type ChecksumName } from '../../lib/checksums.ts';
import { artifactKey } from '../../storage/layout.ts';
import { ReceivedFile, receiveForm } from './received-file.ts';
import { requireSpace } from './require-space.ts';
import { saveNewArtifact } from './save-artifacts.ts';

/** These prove nothing: taken only where the operator has them computed. */
const BROKEN: readonly ChecksumName[] = ['sha1', 'md5'];

/** A file of a form. */
export const fileWire: Wire = {
  schema: z.instanceof(ReceivedFile, { error: 'The submitted data was not a file. Check the encoding type on the form.' }),
  json: { type: 'string', format: 'binary' },
  nullable: false,
};

/** What a client submits: a file, and what it says of it. */
export const UPLOAD_FIELDS: Fields = {
  file: { wire: fileWire, required: true, description: 'The file.' },
  size: { wire: integer({ max: Number.MAX_SAFE_INTEGER }), description: 'Its size in bytes; checked.' },
  ...Object.fromEntries(
    CHECKSUM_NAMES.map((name) => [
      name,
      { wire: text({ nullable: true }), description: `Its ${name}, in hexadecimal; checked.` },
    ]),
  ),
};

/** What a client says of a file. */
type Claims = { readonly size?: number } & Readonly<Partial<Record<ChecksumName, string | null>>>;

/** What is said of a file that is there already, by a request and by a task. */
export const artifactExists = (sha256: string): string => `Artifact with sha256 checksum of '${sha256}' already exists.`;

/** What is answered of an artifact, and says nothing when it is sent back. */
const ANSWERED = new Set(['pulp_href', 'prn', 'pulp_created', 'pulp_last_updated']);

const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });

/**
 * Stores the file of a form and answers the id of its artifact. It becomes visible only when all that the client says of it has turned
 * out right; else nothing stays of it. Throws ValidationError in the recorded words, StorageFullError.
 */
export async function uploadArtifact({ headers, parts, body, form, services }: ApiRequest): Promise<string> {
  if (parts) await requireSpace(services, Number(headers['content-length'] ?? 0));
  const wanted = services.config.PULP_ALLOWED_CONTENT_CHECKSUMS;
  const received = parts && (await receiveForm(parts, { wanted, known: CHECKSUM_NAMES }, services));
  const given = received ?? body ?? {};
  try {
    if (typeof given === 'object' && !Array.isArray(given) && !('file' in given))
      throw new ValidationError({ file: ['No file was submitted.'] });
    const parsed = parseBody(given, { fields: UPLOAD_FIELDS, partial: false, form, ignored: ANSWERED });
    const { file: upload, ...claims } = parsed as Claims & { readonly file: ReceivedFile };
    await checkClaims(upload, claims, wanted);
    return await save(upload, services);
  } finally {
    if (received?.file instanceof ReceivedFile) await received.file.drop();
  }
}

async function checkClaims(upload: ReceivedFile, claims: Claims, allowed: readonly ChecksumName[]): Promise<void> {
  const forbidden = BROKEN.filter((name) => name in claims && !allowed.includes(name)).map((name) => `'${name}'`);
  if (forbidden.length > 0) throw refuse(`Checksum algorithms [${forbidden.join(', ')}] forbidden for this Pulp instance.`);
  if (claims.size !== undefined && claims.size !== upload.size) throw refuse('The size did not match actual size of file.');
  for (const name of CHECKSUM_NAMES) {
    // One that was sent empty, as by a script whose variable is not set, is a wrong one.
    if (name in claims && claims[name] !== (await upload.checksum(name))) throw refuse(`The ${name} checksum did not match.`);
  }
}

function save(upload: ReceivedFile, { db, storage, domain }: Services): Promise<string> {
  const { file } = upload;
  const { sha256 } = file.checksums;
  return db.transaction(async (tx) => {
    const { id, made } = await saveNewArtifact(tx, storage, domain.id, file, () => upload.keepAt(artifactKey(sha256)));
    if (!made) throw refuse(artifactExists(sha256));
    return id;
  });
}
