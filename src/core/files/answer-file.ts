import type { ContentFile } from '../../kit/served-file.ts';
import type { Services } from '../../kit/services.ts';
import type { OnDemandArtifacts, OpenArtifact } from '../artifacts/open-artifact.ts';
import { UnavailableArtifactError } from '../artifacts/unavailable-artifact-error.ts';
import { writeChunk } from './response-body.ts';
import type { Http, StoredFiles } from './stored-files.ts';

/** What an answer is made with. */
export interface FileHouse {
  readonly files: StoredFiles;
  readonly onDemand: OnDemandArtifacts;
  readonly log: Services['log'];
}

/** A file that is looked up again where what was found does not hold any more. */
export interface FileLookup {
  /** Undefined where there is none. */
  find(): Promise<ContentFile | undefined>;
  /** What was found is not so any more: the next `find` has to look for itself. */
  forget(): void;
}

/** The file was stored, or taken away, again and again between two steps. */
export class UnsettledFileError extends Error {
  override readonly name = 'UnsettledFileError';
  constructor(name: string) {
    super(`${name} is being stored or removed; try again`);
  }
}

/** How often an answer looks again because a file was stored, or taken away, between two steps. */
const TRIES = 3;

/**
 * Answers a GET or HEAD with a file: from the storage, or, where its bytes are only known, from its upstream. False, with nothing
 * sent, where there is no such file. Throws before anything is sent: UnavailableArtifactError where no upstream gives it, or
 * UnsettledFileError.
 */
export async function answerFile(house: FileHouse, http: Http, lookup: FileLookup): Promise<boolean> {
  let name = '';
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const file = await lookup.find();
    if (!file) return false;
    name = file.name;
    if (file.stored) {
      if (await house.files.send(http, file.stored, file.headers, file.name)) return true;
      house.log.error({ name, file: file.stored.key }, 'stored file is missing; fetching it again');
      house.files.forget(file.stored);
      lookup.forget();
    }
    if (await answerFromUpstream(house, http, file)) return true;
  }
  throw new UnsettledFileError(name);
}

/** False, with nothing sent, where the file turns out to be stored meanwhile. */
async function answerFromUpstream(house: FileHouse, http: Http, file: ContentFile): Promise<boolean> {
  if (http.request.method === 'HEAD') {
    http.response.writeHead(200, headersOf(file, file.size));
    http.response.end();
    return true;
  }
  const opened = await house.onDemand.open(file).catch((error: unknown) => {
    house.log.warn({ err: error, name: file.name }, 'content on demand not available');
    throw error;
  });
  if (opened === 'stored') return false;
  await relay(house, http, opened, file);
  return true;
}

/** Sends what comes. A body that fails before its first bytes is still answered in words; later only a broken connection is left. */
async function relay({ log }: FileHouse, { response }: Http, { body, size }: OpenArtifact, file: ContentFile): Promise<void> {
  const leave = () => void body.return();
  response.once('close', leave);
  try {
    let step = await body.next().catch((error: unknown) => {
      throw new UnavailableArtifactError(file.name, 1, error);
    });
    response.writeHead(200, headersOf(file, size));
    for (; !step.done; step = await body.next()) if (!(await writeChunk(response, step.value))) break;
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    // The length was promised: the broken connection tells the client. The cause is logged where it was noticed.
    log.debug({ err: error, name: file.name }, 'client cut off');
    response.destroy();
  } finally {
    response.off('close', leave);
    await body.return();
  }
}

const headersOf = ({ headers }: ContentFile, size: number | null | undefined): Record<string, string> => ({
  ...headers.others,
  'Content-Type': headers.contentType,
  ...(typeof size === 'number' ? { 'Content-Length': String(size) } : {}),
});
