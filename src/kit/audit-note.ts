import { isDeepStrictEqual } from 'node:util';
import type { ApiRequest } from './api.ts';
import type { Fields, Resource, Row } from './define-resource.ts';
import { prnType } from './names.ts';

type Values = Readonly<Record<string, unknown>>;

/** What the audit log is told of a request beside who made it: filled in while it is worked on. */
export interface AuditNote {
  /** PRN of what is changed. */
  object?: string;
  /** The changed fields, without secrets. */
  before?: Values;
  after?: Values;
}

/** Stands for the value of a field that is only taken. */
const HIDDEN = '(hidden)';

/** Given values, as they may be kept. */
const shown = (fields: Fields, values: Values): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const field = fields[name];
      return [name, field?.secret || field?.access === 'write' ? HIDDEN : value];
    }),
  );

/** Notes what a request is about. */
export function noteObject({ audit }: ApiRequest, resource: Resource, id: string): void {
  audit.object = `prn:${prnType(resource)}:${id}`;
}

/** Notes the values that a request gives for fields and, where a row has them, those that it had; what stays as it is is left out. */
export function noteValues({ audit, services }: ApiRequest, fields: Fields, given: Values, row?: Row): void {
  const after = shown(fields, given);
  if (!row) {
    audit.after = after;
    return;
  }
  const had = (name: string): unknown => {
    const field = fields[name];
    return after[name] === HIDDEN ? HIDDEN : ((field?.value ? field.value(row, services) : row[name]) ?? null);
  };
  const changed = Object.keys(after).filter((name) => after[name] === HIDDEN || !isDeepStrictEqual(after[name], had(name)));
  audit.before = Object.fromEntries(changed.map((name) => [name, had(name)]));
  audit.after = Object.fromEntries(changed.map((name) => [name, after[name]]));
}
