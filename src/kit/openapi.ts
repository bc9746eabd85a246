import type { Component, DocumentedOperation } from './api.ts';
import { API_ROOT } from './names.ts';
import type { JsonSchema } from './wire.ts';

export interface DocumentOptions {
  readonly version: string;
  readonly appVersions: Readonly<Record<string, string>>;
  /** Only these plugins' operations. */
  readonly components?: ReadonlySet<string>;
  /** Ordinary path parameters (`/tasks/{pulp_id}/`) in place of whole hrefs (`{task_href}`). */
  readonly plainPaths?: boolean;
}

type Json = { [key: string]: unknown };
const reference = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

/** Components met on the way, each under its name; two of one name must be the same. */
class Components {
  readonly schemas = new Map<string, JsonSchema>();

  refer(component: Component): JsonSchema {
    if (!this.schemas.has(component.name)) this.schemas.set(component.name, this.#linked(component.json));
    return reference(component.name);
  }

  /** A list of components inside another is linked by name. */
  #linked(json: JsonSchema): JsonSchema {
    const properties = json.properties as { [name: string]: JsonSchema } | undefined;
    const results = properties?.results;
    if (!properties || typeof results?.['x-component'] !== 'string') return json;
    const item = this.refer({ name: results['x-component'], json: results.items as JsonSchema });
    return { ...json, properties: { ...properties, results: { type: 'array', items: item } } };
  }
}

/** The OpenAPI document of the operations, in the form that Pulp's clients read (spec: core, schema and status). */
export function openApiDocument(operations: readonly DocumentedOperation[], options: DocumentOptions): Json {
  const components = new Components();
  const paths: { [path: string]: Json } = {};
  for (const operation of operations) {
    if (options.components && !options.components.has(operation.plugin)) continue;
    const path = options.plainPaths ? operation.url.replace(/:(\w+)/g, '{$1}') : operation.path;
    paths[path] = { ...paths[path], [operation.method]: describe(operation, components, options.plainPaths === true) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Deckle',
      version: 'v3',
      description: 'Content mirror and registry server that speaks the REST API of Pulp.',
      'x-deckle-version': options.version,
      'x-pulp-app-versions': options.appVersions,
      'x-pulp-domain-enabled': false,
    },
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      schemas: Object.fromEntries([...components.schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        basicAuth: { type: 'http', scheme: 'basic' },
        cookieAuth: { type: 'apiKey', in: 'cookie', name: 'sessionid' },
      },
    },
  };
}

function describe(operation: DocumentedOperation, components: Components, plainPaths: boolean): Json {
  const urlParameters = [...operation.url.matchAll(/:(\w+)/g)].map(([, name]) => ({
    in: 'path',
    name,
    required: true,
    schema: { type: 'string' },
  }));
  const parameters = plainPaths
    ? [...urlParameters, ...operation.parameters.filter((parameter) => parameter.in !== 'path')]
    : operation.parameters;
  const content = (component: Component, mediaTypes: readonly string[] = ['application/json']) =>
    Object.fromEntries(mediaTypes.map((mediaType) => [mediaType, { schema: components.refer(component) }]));
  return {
    operationId: operation.operationId,
    summary: operation.summary,
    ...(operation.description ? { description: operation.description } : {}),
    tags: [operation.tag],
    parameters,
    ...(operation.body
      ? { requestBody: { required: true, content: content(operation.body.component, operation.body.mediaTypes) } }
      : {}),
    security: operation.audience === 'anyone' ? [] : [{ basicAuth: [] }, { cookieAuth: [] }],
    responses: Object.fromEntries(
      operation.responses.map(({ status, component, mediaTypes }) => [
        String(status),
        { description: '', ...(component ? { content: content(component, mediaTypes) } : {}) },
      ]),
    ),
  };
}

export const DOCS_ROOT = `${API_ROOT}docs/`;
