import type { ApiReply, ApiRequest, Component, Method, Operation, Parameter } from './api.ts';
import { noteObject, noteValues } from './audit-note.ts';
import { parseBody } from './body.ts';
import { bulkFields, wholeRow, withBulk } from './bulk-fields.ts';
import { ASYNC_RESPONSE, componentName, pageComponent, requestComponent, responseComponent } from './components.ts';
import type { Action, Resource, Row, Verb } from './define-resource.ts';
import type { Filter } from './filters.ts';
import { filtersOf, listRows } from './list.ts';
import { createRow, deleteRow, updateRow } from './mutations.ts';
import { API_ROOT, collectionPath, pieces, snakeCase } from './names.ts';
import { enterCollection, rowFor } from './references.ts';
import { serialize, wantedFields } from './serialize.ts';

/** What bodies come as. */
export const FORMS = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'];
const FILE_FORMS = ['multipart/form-data', 'application/x-www-form-urlencoded'];
const STRINGS = { type: 'array', items: { type: 'string' } };
const METHODS: Record<Verb, Method> = {
  list: 'get',
  create: 'post',
  read: 'get',
  update: 'put',
  partial_update: 'patch',
  delete: 'delete',
};

export const DIAGNOSTICS: Parameter = {
  in: 'header',
  name: 'X-Task-Diagnostics',
  schema: STRINGS,
  description: 'Diagnostics wanted of the tasks that the request starts.',
};
export const SHAPING: readonly Parameter[] = [
  { in: 'query', name: 'fields', schema: STRINGS, description: 'Answer only these fields.' },
  { in: 'query', name: 'exclude_fields', schema: STRINGS, description: 'Answer all but these fields.' },
];

interface Place {
  readonly url: { readonly collection: string; readonly member: string };
  readonly path: {
    readonly collection: string;
    readonly member: string;
    readonly collectionHref?: string;
    readonly memberHref: string;
  };
  readonly id: string;
  readonly tag: string;
  readonly alias?: string;
}

const titleCase = (text: string): string =>
  text.replace(/(^|[-_ ])([a-z])/g, (_, before: string, letter: string) => before + letter.toUpperCase());

const hrefParameter = (resource: Resource): string =>
  resource.hrefParameter ?? `${resource.plugin === 'core' ? '' : `${resource.plugin}_`}${snakeCase(resource.model)}_href`;

/** Where a resource's operations are: Fastify's patterns, the document's paths, operationId stem and tag. */
function placeOf(resource: Resource): Place {
  const { nested } = resource;
  if (nested) {
    const parent = placeOf(nested.parent);
    return {
      url: {
        collection: `${parent.url.member}${nested.segment}/`,
        member: `${parent.url.member}${nested.segment}/:${nested.memberParam}/`,
      },
      path: {
        collection: `${parent.path.member}${nested.segment}/`,
        member: `{${nested.href}}`,
        collectionHref: parent.path.memberHref,
        memberHref: nested.href,
      },
      id: `${parent.id}_${nested.segment}`,
      tag: nested.tag ?? `${parent.tag} ${titleCase(nested.segment)}`,
      ...(nested.alias ? { alias: nested.alias } : {}),
    };
  }
  const collection = collectionPath(resource);
  const href = hrefParameter(resource);
  return {
    url: { collection, member: `${collection}:pulp_id/` },
    path: { collection, member: `{${href}}`, memberHref: href },
    id: pieces(resource).join('_').replace(/[-/]/g, '_'),
    tag: titleCase(resource.kind.replace('/', ': ')) + (resource.endpoint ? `: ${titleCase(resource.endpoint)}` : ''),
  };
}

const pathParameter = (name: string): Parameter => ({ in: 'path', name, required: true, schema: { type: 'string' } });

function listParameters(resource: Resource, filters: ReadonlyMap<string, Filter>): Parameter[] {
  const array = (name: string, schema: Parameter['schema'], repeated = false): Parameter => ({
    in: 'query',
    name,
    schema,
    ...(schema.type === 'array' ? { explode: repeated, style: 'form' } : {}),
  });
  const names = Object.keys(resource.ordering).flatMap((name) => [name, `-${name}`]);
  const paging: Parameter[] = [
    { in: 'query', name: 'limit', schema: { type: 'integer' }, description: 'Size of a page; 100 by default.' },
    { in: 'query', name: 'offset', schema: { type: 'integer' }, description: 'Rows before the page.' },
  ];
  if (resource.unfiltered) return paging;
  return [
    ...[...filters].map(([name, filter]) => array(name, filter.json, filter.repeated)),
    ...paging,
    array('ordering', { type: 'array', items: { type: 'string', enum: names } }),
    { in: 'query', name: 'q', schema: { type: 'string' }, description: 'Filters combined with NOT, AND and OR.' },
  ];
}

/** The operations of a resource: its verbs and actions (spec: kit). */
export function operationsOf(resource: Resource): Operation[] {
  const place = placeOf(resource);
  const filters = filtersOf(resource);
  const verbs = resource.verbs.map((verb) => verbOperation(resource, place, filters, verb));
  const actions = Object.entries(resource.actions ?? {}).map(([name, action]) => actionOperation(resource, place, name, action));
  return [...verbs, ...actions];
}

function verbOperation(resource: Resource, place: Place, filters: ReadonlyMap<string, Filter>, verb: Verb): Operation {
  const onCollection = verb === 'list' || verb === 'create';
  const name = componentName(resource);
  const response = responseComponent(name, resource.fields);
  const href = onCollection ? place.path.collectionHref : place.path.memberHref;
  const shaping = verb === 'list' || verb === 'read' ? SHAPING : [];
  const [one, many] = resource.title;
  const writes = verb === 'create' || verb === 'update' || verb === 'partial_update';
  return {
    operationId: `${place.id}_${verb}`,
    method: METHODS[verb],
    url: onCollection ? place.url.collection : place.url.member,
    ...(verb === 'list' && place.alias ? { aliases: [place.alias] } : {}),
    path: onCollection ? place.path.collection : place.path.member,
    tag: place.tag,
    summary: {
      list: `List ${many}`,
      create: `Create a ${one}`,
      read: `Inspect a ${one}`,
      update: `Update a ${one}`,
      partial_update: `Update a ${one}`,
      delete: `Delete a ${one}`,
    }[verb],
    description: resource.description,
    plugin: resource.plugin,
    parameters: [
      DIAGNOSTICS,
      ...(href ? [pathParameter(href)] : []),
      ...(verb === 'list' ? listParameters(resource, filters) : []),
      ...shaping,
    ],
    ...(writes
      ? { body: { component: requestComponent(name, resource.fields, verb === 'partial_update'), mediaTypes: FORMS } }
      : {}),
    responses: responsesOf(resource, verb, response),
    audience: audienceOf(resource),
    handler: verbHandler(resource, filters, verb),
  };
}

function responsesOf(resource: Resource, verb: Verb, response: Component): Operation['responses'] {
  const accepted = { status: 202, component: ASYNC_RESPONSE };
  if (verb === 'list') return [{ status: 200, component: pageComponent(response) }];
  if (verb === 'read') return [{ status: 200, component: response }];
  if (verb === 'create') return resource.mutation?.create === 'task' ? [accepted] : [{ status: 201, component: response }];
  if (verb === 'delete') return resource.mutation?.delete === 'sync' ? [{ status: 204 }] : [accepted];
  return resource.mutation?.update === 'sync'
    ? [{ status: 200, component: response }]
    : [{ status: 200, component: response }, accepted];
}

function verbHandler(resource: Resource, filters: ReadonlyMap<string, Filter>, verb: Verb): Operation['handler'] {
  switch (verb) {
    case 'list':
      return (request) => answerList(resource, filters, request);
    case 'read':
      return (request) => answerRead(resource, request);
    case 'create':
      return (request) => createRow(resource, request);
    case 'update':
      return (request) => updateRow(resource, request, false);
    case 'partial_update':
      return (request) => updateRow(resource, request, true);
    case 'delete':
      return (request) => deleteRow(resource, request);
  }
}

/** A page; one with values of any size is sent while they are read. */
async function answerList(resource: Resource, filters: ReadonlyMap<string, Filter>, request: ApiRequest): Promise<ApiReply> {
  await enterCollection(resource, 'list', request);
  const { rows, ...frame } = await listRows(resource, filters, request);
  const wanted = wantedFields(resource, request);
  const answered = (row: Row) => serialize(resource, row, request.services, wanted);
  const bulk = bulkFields(resource, wanted);
  return bulk.length === 0
    ? { status: 200, body: { ...frame, results: rows.map(answered) } }
    : { status: 200, stream: pageText(frame, withBulk(rows, bulk, request.services.db), answered) };
}

async function* pageText(frame: object, rows: AsyncIterable<Row>, answered: (row: Row) => unknown): AsyncGenerator<string> {
  let before = `${JSON.stringify(frame).slice(0, -1)},"results":[`;
  for await (const row of rows) {
    yield before + JSON.stringify(answered(row));
    before = ',';
  }
  yield before === ',' ? ']}' : `${before}]}`;
}

async function answerRead(resource: Resource, request: ApiRequest): Promise<ApiReply> {
  const wanted = wantedFields(resource, request);
  const row = await wholeRow(await rowFor(resource, 'retrieve', request), bulkFields(resource, wanted), request.services.db);
  return { status: 200, body: serialize(resource, row, request.services, wanted) };
}

function actionOperation(resource: Resource, place: Place, name: string, action: Action): Operation {
  const onCollection = action.on === 'collection';
  const suffix = action.suffix ?? `${name}/`;
  const href = onCollection ? place.path.collectionHref : place.path.memberHref;
  return {
    operationId: `${place.id}_${name}`,
    method: action.method,
    url: (onCollection ? place.url.collection : place.url.member) + suffix,
    path: (onCollection ? place.path.collection : place.path.member) + suffix,
    tag: place.tag,
    summary: action.summary,
    plugin: resource.plugin,
    parameters: [
      DIAGNOSTICS,
      ...(href ? [pathParameter(href)] : []),
      ...(action.parameters ?? []),
      ...(action.method === 'get' ? SHAPING : []),
    ],
    ...(action.body
      ? {
          body: {
            component: requestComponent(action.body.component, action.body.fields, action.body.patched),
            mediaTypes: action.takesFiles ? FILE_FORMS : FORMS,
          },
        }
      : {}),
    ...(action.takesFiles ? { takesFiles: true as const } : {}),
    responses: action.responses,
    audience: audienceOf(resource),
    handler: (request) => runAction(resource, name, action, request),
  };
}

/** A resource without a policy is for administrators. */
const audienceOf = (resource: Resource): Operation['audience'] => (resource.policy ? 'users' : 'administrators');

/** What policies call an action: one that is declared in place of a verb is called like the verb. */
const VERBS_OF_POLICIES: Readonly<Record<Method, string>> = {
  get: 'retrieve',
  post: 'create',
  put: 'update',
  patch: 'partial_update',
  delete: 'destroy',
};
const policyAction = (name: string, { method, suffix }: Action): string => (suffix === '' ? VERBS_OF_POLICIES[method] : name);

async function runAction(resource: Resource, name: string, action: Action, request: ApiRequest): Promise<ApiReply> {
  const asked = policyAction(name, action);
  let row: Row = { id: '' };
  if (action.on === 'collection') await enterCollection(resource, asked, request);
  else {
    row = await rowFor(resource, asked, request);
    noteObject(request, resource, row.id);
  }
  const body =
    action.body && !action.takesFiles
      ? parseBody(request.body, { fields: action.body.fields, partial: action.body.patched === true, form: request.form })
      : {};
  if (action.body) noteValues(request, action.body.fields, body);
  return action.run({ request, resource, row, body });
}

/** A plain operation's document path is its URL. */
export const plainPath = (suffix: string): { url: string; path: string } => ({
  url: `${API_ROOT}${suffix}`,
  path: `${API_ROOT}${suffix}`,
});
