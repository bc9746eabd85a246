/** Messages by field, lists of messages by index for list items, as Pulp's clients read them (spec: core, errors). */
export type FieldErrors = { [field: string]: string[] | { [index: string]: string[] } };

/** An error with its answer: http/error-handler.ts writes status and body as they stand. */
export abstract class ApiError extends Error {
  abstract readonly status: number;
  abstract readonly body: unknown;
  readonly headers: Readonly<Record<string, string>> = {};
}

/** 400 with messages by field. */
export class ValidationError extends ApiError {
  override readonly name = 'ValidationError';
  readonly status = 400;
  readonly body: unknown;
  constructor(errors: FieldErrors | { [field: string]: unknown }) {
    super(`invalid input: ${JSON.stringify(errors)}`);
    this.body = errors;
  }
}

/** 400 with a bare list: what is refused outside a serializer (spec: core, errors). */
export class RequestRefusedError extends ApiError {
  override readonly name = 'RequestRefusedError';
  readonly status = 400;
  readonly body: readonly string[];
  constructor(message: string) {
    super(message);
    this.body = [message];
  }
}

/** An answer of the form `{"detail": …}`. */
abstract class DetailError extends ApiError {
  get body() {
    return { detail: this.message };
  }
}

export class MalformedRequestError extends DetailError {
  override readonly name = 'MalformedRequestError';
  readonly status = 400;
}

export class NotAuthenticatedError extends DetailError {
  override readonly name = 'NotAuthenticatedError';
  readonly status = 401;
  override readonly headers: Readonly<Record<string, string>>;
  constructor(message = 'Authentication credentials were not provided.', headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.headers = { 'www-authenticate': 'Basic realm="api"', ...headers };
  }
}

export class PermissionDeniedError extends DetailError {
  override readonly name = 'PermissionDeniedError';
  readonly status = 403;
  constructor(message = 'You do not have permission to perform this action.') {
    super(message);
  }
}

/** 403: a change that came by a cookie, and may be the doing of another site. */
export class CsrfError extends DetailError {
  override readonly name = 'CsrfError';
  readonly status = 403;
  constructor(reason: string) {
    super(`CSRF Failed: ${reason}`);
  }
}

/** 404; names the model where a well-formed id matches nothing that the caller may see. */
export class NotFoundError extends DetailError {
  override readonly name = 'NotFoundError';
  readonly status = 404;
  constructor(model?: string) {
    super(model ? `No ${model} matches the given query.` : 'Not found.');
  }
}

/** 409 with the given body: a state that does not allow what was asked. */
export class ConflictError extends ApiError {
  override readonly name = 'ConflictError';
  readonly status = 409;
  readonly body: unknown;
  constructor(message: string, body: unknown) {
    super(message);
    this.body = body;
  }
}

export class UnsupportedMediaTypeError extends DetailError {
  override readonly name = 'UnsupportedMediaTypeError';
  readonly status = 415;
  constructor(mediaType: string) {
    super(`Unsupported media type "${mediaType}" in request.`);
  }
}

export class NotAcceptableError extends DetailError {
  override readonly name = 'NotAcceptableError';
  readonly status = 406;
  constructor() {
    super('Could not satisfy the request Accept header.');
  }
}

export class MethodNotAllowedError extends DetailError {
  override readonly name = 'MethodNotAllowedError';
  readonly status = 405;
  constructor(method: string) {
    super(`Method "${method}" not allowed.`);
  }
}
