import type { Component } from './api.ts';
import type { Field, Fields, Resource } from './define-resource.ts';
import type { JsonSchema } from './wire.ts';

const object = (properties: JsonSchema, required: readonly string[] = []): JsonSchema => ({
  type: 'object',
  properties,
  ...(required.length > 0 ? { required } : {}),
});
const STRING = { type: 'string' };

export const ASYNC_RESPONSE: Component = {
  name: 'AsyncOperationResponse',
  json: object({ task: { type: 'string', format: 'uri' } }, ['task']),
};
export const SET_LABEL_RESPONSE: Component = {
  name: 'SetLabelResponse',
  json: object({ key: STRING, value: { type: ['string', 'null'] } }, ['key', 'value']),
};
export const UNSET_LABEL_RESPONSE: Component = {
  name: 'UnsetLabelResponse',
  json: object({ key: STRING, value: { ...STRING, readOnly: true } }, ['key']),
};

/** `container.ContainerRemote`; core's have no prefix. */
export const componentName = (resource: Resource): string =>
  resource.component ?? (resource.plugin === 'core' ? resource.model : `${resource.plugin}.${resource.model}`);

const described = (field: Field, marks: JsonSchema): JsonSchema => ({
  ...field.wire.json,
  description: field.description,
  ...(field.default === undefined ? {} : { default: field.default }),
  ...marks,
});

/** The schema of a request body with these fields. */
export function requestComponent(name: string, fields: Fields, patched = false): Component {
  const taken = Object.entries(fields).filter(([, field]) => field.access !== 'read');
  const properties = Object.fromEntries(
    taken.map(([key, field]) => [key, described(field, field.access === 'write' ? { writeOnly: true } : {})]),
  );
  const required = patched ? [] : taken.filter(([, field]) => field.required).map(([key]) => key);
  return { name: patched ? `Patched${name}` : name, json: object(properties, required) };
}

/** The schema of an answer with these fields. */
export function responseComponent(name: string, fields: Fields): Component {
  const answered = Object.entries(fields).filter(([, field]) => field.access !== 'write');
  const properties = Object.fromEntries(
    answered.map(([key, field]) => [key, described(field, field.access === 'read' ? { readOnly: true } : {})]),
  );
  const required = answered.filter(([, field]) => field.required).map(([key]) => key);
  return { name: `${name}Response`, json: object(properties, required) };
}

/** The schema of a page of answers. */
export const pageComponent = (item: Component): Component => ({
  name: `Paginated${item.name}List`,
  json: object(
    {
      count: { type: 'integer' },
      next: { type: 'string', nullable: true, format: 'uri' },
      previous: { type: 'string', nullable: true, format: 'uri' },
      results: { type: 'array', items: item.json, 'x-component': item.name },
    },
    ['count', 'results'],
  ),
});
