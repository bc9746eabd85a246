import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import type { AuditNote } from './audit-note.ts';
import type { DispatchOptions, TaskDefinition } from './define-task.ts';
import type { Services } from './services.ts';
import type { JsonSchema } from './wire.ts';

/** Who asks. */
export interface Caller {
  readonly id: number;
  readonly username: string;
  readonly is_superuser: boolean;
}

/** A caller, with what proves him. */
export interface Login extends Caller {
  /** What the login rests on, a text that is no secret: it is void when the password changes, or the API token is revoked. */
  readonly credential: string;
  /** Id of the session, where the request came with one. */
  readonly session?: string;
}

/** A part of a multipart form. A file's bytes come once, and are to be read before the next part is asked for. */
export type FormPart =
  | { readonly kind: 'field'; readonly name: string; readonly value: string }
  | { readonly kind: 'file'; readonly name: string; readonly bytes: Readable };

/** A request, parsed as far as HTTP goes; what handlers are given. */
export interface ApiRequest {
  readonly services: Services;
  /** Null only where the operation is open to anyone and nobody is logged in. */
  readonly caller: Login | null;
  /** Address of the client. */
  readonly address: string;
  /** What the audit log is told of the request. */
  readonly audit: AuditNote;
  readonly correlation_id: string;
  /** Scheme and host that the client used, for paging links. */
  readonly origin: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, readonly string[]>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  /** In place of a body, of a multipart form that is sent to an operation which takes files: its parts as they arrive. */
  readonly parts?: AsyncIterable<FormPart>;
  /** The body came as a form: lists and objects arrive as text. */
  readonly form: boolean;
  dispatch<Args extends z.ZodType>(
    definition: TaskDefinition<Args>,
    args: z.input<Args>,
    locks: Pick<DispatchOptions, 'exclusive' | 'shared'>,
  ): Promise<{ readonly id: string; readonly href: string }>;
}

export interface ApiReply {
  readonly status: number;
  readonly body?: unknown;
  /** In place of a body: JSON text in pieces, sent as they are made. */
  readonly stream?: AsyncIterable<string>;
  readonly headers?: Readonly<Record<string, string | string[]>>;
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
  readonly explode?: boolean;
  readonly style?: string;
}

/** A schema that the document names, and others refer to. */
export interface Component {
  readonly name: string;
  readonly json: JsonSchema;
}

/** An operation of the API, as the document has it. */
export interface DocumentedOperation {
  readonly operationId: string;
  readonly method: Method;
  /** Fastify's pattern: `/pulp/api/v3/tasks/:pulp_id/`. */
  readonly url: string;
  /** Further patterns for the same handler that the document does not name. */
  readonly aliases?: readonly string[];
  /** The document's path: `{task_href}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly plugin: string;
  readonly parameters: readonly Parameter[];
  readonly body?: { readonly component: Component; readonly mediaTypes: readonly string[] };
  /** Multipart forms are handed to the handler unread: they carry files. */
  readonly takesFiles?: true;
  /** Status -> what the document says of it; the first 2xx is the usual one. */
  readonly responses: readonly {
    readonly status: number;
    readonly component?: Component;
    readonly mediaTypes?: readonly string[];
  }[];
  /** Who may ask at all: anyone, users (their rights are checked by the handler), or administrators. */
  readonly audience: 'anyone' | 'users' | 'administrators';
}

/** One operation of the API: what is routed and what is documented, from one description. */
export interface Operation extends DocumentedOperation {
  readonly handler: (request: ApiRequest) => Promise<ApiReply>;
}

/** Who asks, where the operation is not open to anyone. */
export function callerOf(request: ApiRequest): NonNullable<ApiRequest['caller']> {
  if (!request.caller) throw new Error(`${request.path} needs a caller`);
  return request.caller;
}
