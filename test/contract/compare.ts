type Json = { readonly [key: string]: unknown };

/** An OpenAPI document, as far as it is compared. */
export interface ApiDocument {
  readonly paths: { readonly [path: string]: Json };
  readonly components: { readonly schemas: { readonly [name: string]: Json } };
}

/**
 * What a client can see of an operation: each fact one line of text under the name of what it is about. The limits of
 * values (`minimum`, `maxLength`, …) are left out: Deckle refuses a little more than Pulp does, see docs/DIFFERENCES.md.
 */
export interface OperationFacts {
  readonly operationId: string;
  readonly facts: ReadonlyMap<string, string>;
}

const METHODS = new Set(['get', 'put', 'post', 'delete', 'patch', 'head', 'options', 'trace']);
/** Deeper than any schema of the contract; an endless one would be a mistake of the document. */
const MAX_DEPTH = 8;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const objects = (value: unknown): readonly Json[] => list(value).filter(isObject);

/** A default that was the day on which the document was written. */
const isDay = (value: unknown): boolean => typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value);

/** Reads the schemas of one document; references and the wrappers around a single schema are followed. */
class Schemas {
  readonly #document: ApiDocument;
  constructor(document: ApiDocument) {
    this.#document = document;
  }

  /** The schema itself with the keywords beside its reference. Throws where a reference leads nowhere. */
  #resolve(schema: Json): Json {
    const { $ref, allOf, ...beside } = schema;
    if (typeof $ref === 'string') {
      const name = $ref.replace('#/components/schemas/', '');
      const target = this.#document.components.schemas[name];
      if (!target) throw new Error(`the document refers to ${$ref}, and has no such schema`);
      return { ...this.#resolve(target), ...beside };
    }
    if (allOf === undefined) return schema;
    const [only, ...more] = objects(allOf);
    if (!only || more.length > 0) throw new Error(`cannot compare allOf of ${list(allOf).length} schemas`);
    return { ...this.#resolve(only), ...beside };
  }

  /** `string?`, `string(a|b)`, `integer`: type, null and the words that are allowed. */
  #type(schema: Json): string {
    const types = list(schema.type).length > 0 ? list(schema.type) : [schema.type ?? 'any'];
    const words = list(schema.enum)
      .filter((word) => word !== null)
      .map(String)
      .sort();
    const nullable = schema.nullable === true || types.includes('null') || list(schema.enum).includes(null);
    const named = types.filter((type) => type !== 'null').join('|');
    const format = typeof schema.format === 'string' ? `:${schema.format}` : '';
    return `${named}${format}${words.length > 0 ? `(${words.join('|')})` : ''}${nullable ? '?' : ''}`;
  }

  /** Adds a line for the schema and for each field and item in it: `results[].name` -> `string required`. */
  describe(facts: Map<string, string>, at: string, schema: unknown, marks: readonly string[] = [], depth = 0): void {
    if (depth > MAX_DEPTH) throw new Error(`${at} is nested without an end`);
    if (!isObject(schema)) return;
    const flat = this.#resolve(schema);
    const preset = flat.default === undefined || isDay(flat.default) ? [] : [`default=${JSON.stringify(flat.default)}`];
    const access = ['readOnly', 'writeOnly'].filter((keyword) => flat[keyword] === true);
    facts.set(at, [this.#type(flat), ...marks, ...access, ...preset].join(' '));
    this.describe(facts, `${at}[]`, flat.items, [], depth + 1);
    this.describe(facts, `${at}.*`, flat.additionalProperties, [], depth + 1);
    if (!isObject(flat.properties)) return;
    const required = new Set(list(flat.required));
    for (const [name, field] of Object.entries(flat.properties)) {
      this.describe(facts, `${at}.${name}`, field, required.has(name) ? ['required'] : [], depth + 1);
    }
  }
}

function factsOf(schemas: Schemas, path: string, method: string, item: Json, operation: Json): Map<string, string> {
  const facts = new Map([
    ['path', path],
    ['method', method],
    ['tags', list(operation.tags).join(', ')],
    ['open to anyone', String(!list(operation.security).some((one) => isObject(one) && Object.keys(one).length > 0))],
  ]);
  for (const parameter of [...objects(item.parameters), ...objects(operation.parameters)]) {
    const { in: place, name, required, explode, style, schema } = parameter;
    const marks = [
      ...(required === true ? ['required'] : []),
      ...(explode === undefined ? [] : [`explode=${explode}`]),
      ...(style === undefined ? [] : [`style=${style}`]),
    ];
    schemas.describe(facts, `${place} parameter ${name}`, schema, marks);
  }
  const bodies = (about: string, content: unknown) => {
    for (const [mediaType, { schema }] of Object.entries(isObject(content) ? (content as { [type: string]: Json }) : {}))
      schemas.describe(facts, `${about} as ${mediaType}`, schema);
  };
  if (isObject(operation.requestBody)) bodies('body', operation.requestBody.content);
  for (const [status, response] of Object.entries(isObject(operation.responses) ? operation.responses : {})) {
    facts.set(`status ${status}`, 'answered');
    if (isObject(response)) bodies(`status ${status}`, response.content);
  }
  return facts;
}

/** Every operation of a document by its id. Throws where two have the same, or where the document contradicts itself. */
export function operationsIn(document: ApiDocument): Map<string, OperationFacts> {
  const schemas = new Schemas(document);
  const operations = new Map<string, OperationFacts>();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!METHODS.has(method) || !isObject(operation)) continue;
      const operationId = String(operation.operationId);
      if (operations.has(operationId)) throw new Error(`two operations are called ${operationId}`);
      operations.set(operationId, { operationId, facts: factsOf(schemas, path, method, item, operation) });
    }
  }
  return operations;
}

/** What of an operation is not as it should be, a line each; empty where the two are the same. */
export function differences(expected: OperationFacts, actual: OperationFacts): string[] {
  const lines: string[] = [];
  for (const [about, fact] of expected.facts) {
    const ours = actual.facts.get(about);
    if (ours === undefined) lines.push(`${about}: missing, should be ${fact}`);
    else if (ours !== fact) lines.push(`${about}: is ${ours}, should be ${fact}`);
  }
  for (const [about, fact] of actual.facts) if (!expected.facts.has(about)) lines.push(`${about}: should not be there (${fact})`);
  return lines.sort();
}
