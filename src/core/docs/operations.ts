import { stringify } from 'yaml';
import type { ApiReply, ApiRequest, Operation, Parameter } from '../../kit/api.ts';
import { lastOf } from '../../kit/body.ts';
import { documentedOperations } from '../../kit/catalog.ts';
import { openApiDocument } from '../../kit/openapi.ts';
import { DIAGNOSTICS, plainPath, SHAPING } from '../../kit/operations.ts';
import { packageVersion } from '../../lib/package-root.ts';

/** The parameter is taken, and has no effect: descriptions are in English. */
const LANGUAGES =
  'af ar ar-dz ast az be bg bn br bs ca ckb cs cy da de dsb el en en-au en-gb eo es es-ar es-co es-mx es-ni es-ve et eu fa fi fr fy ga gd gl he hi hr hsb hu hy ia id ig io is it ja ka kab kk km kn ko ky lb lt lv mk ml mn mr ms my nb ne nl nn os pa pl pt pt-br ro ru sk sl sq sr sr-latn sv sw ta te tg th tk tr tt udm ug uk ur uz vi zh-hans zh-hant'.split(
    ' ',
  );

/** The document in the form that the query asks for (spec: core, schema and status). */
function documentFor(request: ApiRequest): Record<string, unknown> {
  const { catalog } = request.services;
  const component = lastOf(request.query, 'component');
  return openApiDocument(documentedOperations(catalog), {
    version: packageVersion(),
    appVersions: catalog.versions,
    ...(component ? { components: new Set([component]) } : {}),
    ...(lastOf(request.query, 'pk_path') ? { plainPaths: true } : {}),
  });
}

const docs = (
  name: 'api.json' | 'api.yaml',
  mediaTypes: readonly string[],
  write: (document: Record<string, unknown>) => ApiReply,
): Operation => ({
  ...plainPath(`docs/${name}`),
  operationId: `docs_${name}_get`,
  method: 'get',
  tag: `Docs: ${name.replace('api', 'Api').replace('.j', '.J').replace('.y', '.Y')}`,
  summary: `The OpenAPI document as ${name.slice(4).toUpperCase()}`,
  plugin: 'core',
  parameters: [
    DIAGNOSTICS,
    { in: 'query', name: 'lang', schema: { type: 'string', enum: LANGUAGES } } satisfies Parameter,
    ...SHAPING,
  ],
  responses: [{ status: 200, component: { name: 'OpenApiDocument', json: { type: 'object' } }, mediaTypes }],
  audience: 'anyone',
  handler: async (request) => write(documentFor(request)),
});

/** The OpenAPI document, open to anyone. */
export const docsOperations: readonly Operation[] = [
  docs('api.json', ['application/vnd.oai.openapi+json', 'application/json'], (document) => ({ status: 200, body: document })),
  docs('api.yaml', ['application/vnd.oai.openapi', 'application/yaml'], (document) => ({
    status: 200,
    headers: { 'content-type': 'application/vnd.oai.openapi; charset=utf-8' },
    body: stringify(document),
  })),
];
