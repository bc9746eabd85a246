import { z } from 'zod';
import type { Field, Fields } from './define-resource.ts';
import { type FieldErrors, ValidationError } from './errors.ts';
import { NOT_NULL, typeName } from './wire.ts';

const REQUIRED = 'This field is required.';
const UNEXPECTED = 'Unexpected field';
/** What is unique is in an index, and an entry of that has 2,704 bytes at most. */
const MAX_UNIQUE_BYTES = 2000;

export interface BodyRules {
  readonly fields: Fields;
  /** PATCH: nothing is required, nothing defaulted. */
  readonly partial: boolean;
  /** Came as a form: values are text. */
  readonly form: boolean;
  /** Old name -> present name. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** Names that are ignored: the read-only ones of every resource. */
  readonly ignored?: ReadonlySet<string>;
}

/** Parses a request's body by the fields' wire types. Throws ValidationError with every problem found, in Pulp's shape. */
export function parseBody(body: unknown, rules: BodyRules): Record<string, unknown> {
  const given = named(body ?? {}, rules);
  // Without a prototype: `__proto__` is a name like any other.
  const errors: FieldErrors = Object.create(null) as FieldErrors;
  const parsed: Record<string, unknown> = {};
  // Said once: a body may have any number of unknown fields.
  let hint = renamedHint(rules);
  for (const name of Object.keys(given)) {
    const field = Object.hasOwn(rules.fields, name) ? rules.fields[name] : undefined;
    if (field !== undefined || rules.ignored?.has(name)) continue;
    errors[name] = [UNEXPECTED, ...hint];
    hint = [];
  }
  for (const [name, field] of Object.entries(rules.fields)) {
    if (field.access === 'read') continue;
    const value = given[name];
    if (value === undefined) {
      if (rules.partial) continue;
      if (field.required) errors[name] = [REQUIRED];
      else if (field.default !== undefined) parsed[name] = field.default;
      continue;
    }
    const outcome = parseField(field, rules.form ? fromForm(field, value) : value);
    if ('errors' in outcome) errors[name] = outcome.errors;
    else parsed[name] = outcome.value;
  }
  if (Object.keys(errors).length > 0) throw new ValidationError(errors);
  return parsed;
}

/** The body as an object under present names. */
function named(body: unknown, rules: BodyRules): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ValidationError({ non_field_errors: [`Invalid data. Expected a dictionary, but got ${typeName(body)}.`] });
  }
  const renamed = rules.renamed ?? {};
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [(Object.hasOwn(renamed, name) && renamed[name]) || name, value]),
  );
}

/** Where old names are taken, the first unknown one is answered with the list of them. */
function renamedHint({ renamed }: BodyRules): string[] {
  if (!renamed) return [];
  const names = Object.entries(renamed).map(([old, present]) => `${old} (${present})`);
  return [`Old names that are understood: ${names.join(', ')}.`];
}

function parseField(field: Field, value: unknown): { value: unknown } | { errors: string[] | { [index: string]: string[] } } {
  if (value === null && !field.wire.nullable) return { errors: [NOT_NULL] };
  const result = field.wire.schema.safeParse(value);
  if (!result.success) return { errors: fieldErrors(result.error) };
  if (field.unique && typeof result.data === 'string' && Buffer.byteLength(result.data) > MAX_UNIQUE_BYTES)
    return { errors: [`Ensure this field has no more than ${MAX_UNIQUE_BYTES} bytes.`] };
  return { value: result.data };
}

/** Messages of a value; those of list items by their index, of labels by their key. */
function fieldErrors(error: z.ZodError): string[] | { [index: string]: string[] } {
  const own: string[] = [];
  // No plain object: keys of labels come from outside, and may be what objects inherit.
  const items = new Map<string, string[]>();
  for (const issue of error.issues) {
    const [index] = issue.path;
    const { message } = issue;
    if (index !== undefined) items.set(String(index), [...(items.get(String(index)) ?? []), message]);
    else own.push(message);
  }
  return own.length > 0 ? own : Object.fromEntries(items);
}

/** A form's value: lists are repeated fields or JSON text, objects JSON text. An empty value of a nullable field is null. */
function fromForm(field: Field, value: unknown): unknown {
  const { structure, nullable } = field.wire;
  if (structure === undefined) {
    const single = Array.isArray(value) ? value[value.length - 1] : value;
    return single === '' && nullable ? null : single;
  }
  if (typeof value !== 'string') return value;
  if (value.trim() === '') return nullable ? null : structure === 'list' ? [] : {};
  if (/^\s*[[{n]/.test(value)) {
    try {
      return JSON.parse(value) as unknown;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return structure === 'list' ? [value] : value;
}

/** A query's last value of a name, or undefined. */
export const lastOf = (query: Readonly<Record<string, readonly string[]>>, name: string): string | undefined =>
  query[name]?.at(-1);

/** Schema for what a handler wants of a query: kept beside the body, so that both edges read alike. */
export const queryNumber = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);
