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
/** `allow`: the methods that are. */
export const unsupported = (method: string, allow: string): RegistryError =>
  new RegistryError(405, 'UNSUPPORTED', `The operation ${method} is not supported here.`, { headers: { allow } });
export const denied = (message: string, detail: Record<string, string>): RegistryError =>
  new RegistryError(403, 'DENIED', message, { detail });
export const digestMismatch = (expected: string, actual: string): RegistryError =>
  new RegistryError(400, 'DIGEST_INVALID', 'The bytes that came have another digest.', { detail: { expected, actual } });
export const sizeInvalid = (message: string): RegistryError => new RegistryError(400, 'SIZE_INVALID', message);
export const blobTooLarge = (most: number): RegistryError =>
  new RegistryError(413, 'SIZE_INVALID', `The blob is larger than ${most} bytes, the most that is taken here.`);
export const uploadUnknown = (id: string): RegistryError =>
  new RegistryError(404, 'BLOB_UPLOAD_UNKNOWN', 'There is no such upload, or it has ended.', { detail: { upload: id } });
/** `received`: bytes that the upload has. */
export const uploadOutOfOrder = (received: number, headers: Record<string, string> = {}): RegistryError =>
  new RegistryError(416, 'BLOB_UPLOAD_INVALID', `The next byte of the upload is number ${received}.`, { headers });
export const tooManyChunks = (most: number): RegistryError =>
  new RegistryError(400, 'BLOB_UPLOAD_INVALID', `The upload has ${most} chunks, the most that is taken here; send larger ones.`);
export const tooManyUploads = (most: number): RegistryError =>
  new RegistryError(429, 'TOOMANYREQUESTS', `You have ${most} uploads that go on; end some of them first.`, {
    headers: { 'retry-after': '60' },
  });
export const manifestInvalid = (message: string): RegistryError => new RegistryError(400, 'MANIFEST_INVALID', message);
export const manifestTooLarge = (most: number): RegistryError =>
  new RegistryError(413, 'SIZE_INVALID', `The manifest is larger than ${most} bytes, the most that is taken here.`);
export const signatureInvalid = (digest: string, message: string): RegistryError =>
  new RegistryError(400, 'SIGNATURE_INVALID', message, { detail: { manifest_digest: digest } });
export const signatureTooLarge = (most: number): RegistryError =>
  new RegistryError(413, 'SIGNATURE_INVALID', `The signature is larger than ${most} bytes, the most that is taken here.`);
export const signatureUnknown = (digest: string, number: number): RegistryError =>
  new RegistryError(404, 'SIGNATURE_UNKNOWN', 'The manifest does not have so many signatures.', {
    detail: { digest, number: String(number) },
  });
export const manifestBlobUnknown = (digest: string): RegistryError =>
  new RegistryError(400, 'MANIFEST_BLOB_UNKNOWN', 'The manifest names something that was not pushed to this repository.', {
    detail: { digest },
  });

export const tagInvalid = (tag: string): RegistryError =>
  new RegistryError(
    400,
    'TAG_INVALID',
    'A tag has 1 to 128 letters, digits, "_", "." and "-", and begins with none of the last two.',
    {
      detail: { tag },
    },
  );
export const pathUnknown = (): RegistryError => new RegistryError(404, 'UNSUPPORTED', 'There is no such endpoint.');

/** The body of an answer to `error`. */
export const errorBody = (error: RegistryError): string =>
  JSON.stringify({ errors: [{ code: error.code, message: error.message, detail: error.detail }] });
