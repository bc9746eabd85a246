/** An error of the Registry API, answered as `{"errors":[{code, message, detail}]}`; codes: OCI distribution-spec, "Error Codes". */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly status: number;
  readonly code: string;
  readonly detail: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    status: number,
    code: string,
    message: string,
    extra: { detail?: Record<string, string>; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, { cause: extra.cause });
    this.status = status;
    this.code = code;
    this.detail = extra.detail ?? {};
    this.headers = extra.headers ?? {};
  }
}

export const nameInvalid = (name: string): RegistryError =>
  new RegistryError(400, 'NAME_INVALID', 'Invalid repository name.', { detail: { name } });
export const nameUnknown = (name: string): RegistryError =>
  new RegistryError(404, 'NAME_UNKNOWN', 'Repository not found.', { detail: { name } });
export const digestInvalid = (digest: string): RegistryError =>
  new RegistryError(400, 'DIGEST_INVALID', 'The digest is not of the form sha256:<64 hex> or sha512:<128 hex>.', {
    detail: { digest },
  });
export const manifestUnknown = (reference: string): RegistryError =>
  new RegistryError(404, 'MANIFEST_UNKNOWN', 'Manifest not found.', { detail: { reference } });
export const blobUnknown = (digest: string): RegistryError =>
  new RegistryError(404, 'BLOB_UNKNOWN', 'Blob not found.', { detail: { digest } });
export const pageSizeInvalid = (n: string): RegistryError =>
  new RegistryError(400, 'PAGINATION_NUMBER_INVALID', 'n must be a whole number, zero or more.', { detail: { n } });
export const unsupported = (method: string): RegistryError =>
  new RegistryError(405, 'UNSUPPORTED', `The operation ${method} is not supported here.`, { headers: { allow: 'GET, HEAD' } });
export const pathUnknown = (): RegistryError => new RegistryError(404, 'UNSUPPORTED', 'There is no such endpoint.');

/** The body of an answer to `error`. */
export const errorBody = (error: RegistryError): string =>
  JSON.stringify({ errors: [{ code: error.code, message: error.message, detail: error.detail }] });
