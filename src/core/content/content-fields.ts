import type { Field, Fields, Resource, Row } from '../../kit/define-resource.ts';
import { artifactHref } from '../../kit/names.ts';
import { baseFields } from '../../kit/serialize.ts';
import { described, type JsonSchema, labels } from '../../kit/wire.ts';

/** What a unit answers beside its names and times. */
export const UNIT_FIELDS: Fields = {
  pulp_labels: { wire: labels(), description: 'Labels: text by key.' },
  vuln_report: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of its vulnerability report, where there is one.',
    value: () => null,
  },
};

/** The fields that every content unit answers with. */
export const contentFields = (place: Pick<Resource, 'kind' | 'plugin' | 'endpoint' | 'model' | 'prn'>): Fields => ({
  ...baseFields(place),
  ...UNIT_FIELDS,
});

/** A field of content that clients do not write: what a unit is, is in its bytes. */
export const unitField = (json: JsonSchema, description: string, options: Partial<Field> = {}): Field => ({
  wire: described(json),
  description,
  ...options,
});

export const unitText = (description: string, options: Partial<Field> = {}): Field =>
  unitField({ type: 'string' }, description, options);

/** The stored file of a unit that has one. */
export const artifactValue = (row: Row): string | null => (row.artifact_id ? artifactHref(row.artifact_id as string) : null);

/** Names that lists of content can be ordered by: those of every unit, and the detail's own columns (alias `d`). */
export const contentOrdering = (own: readonly string[]): Record<string, string | null> => ({
  ...Object.fromEntries(own.map((name) => [name, `d.${name}`])),
  pk: 'm.id',
  pulp_created: 'm.pulp_created',
  pulp_id: 'm.id',
  pulp_labels: 'm.pulp_labels',
  pulp_last_updated: 'm.pulp_last_updated',
  pulp_type: 'm.pulp_type',
  timestamp_of_interest: 'm.last_seen',
  upstream_id: null,
});
