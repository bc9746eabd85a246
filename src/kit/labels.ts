import { join, raw, type Sql, sql } from '../db/sql.ts';
import { SET_LABEL_RESPONSE, UNSET_LABEL_RESPONSE } from './components.ts';
import type { Action, Resource } from './define-resource.ts';
import { RequestRefusedError, ValidationError } from './errors.ts';
import { conditionFilter, type Filter } from './filters.ts';
import { labelProblem, text } from './wire.ts';

const OPERATOR = /^(!)?([\p{L}\p{N}_ .-]+?)\s*(?:(!=|=|~)(.*))?$/su;

function termCondition(term: string, column: Sql): Sql {
  const match = OPERATOR.exec(term.trim());
  if (!match) throw new RequestRefusedError(`Invalid search term: '${term}'.`);
  const [, negated, key = '', operator, value = ''] = match;
  if (negated && operator) throw new RequestRefusedError(`Cannot use an operator with '!${key}'.`);
  if (negated) return sql`not (${column} ? ${key})`;
  if (operator === '=') return sql`${column} @> ${JSON.stringify({ [key]: value })}::jsonb`;
  if (operator === '!=') return sql`(${column} ? ${key} and ${column}->>${key} is distinct from ${value})`;
  // An index knows who has the key.
  if (operator === '~') return sql`(${column} ? ${key} and ${column}->>${key} ilike ${`%${value.replace(/[\\%_]/g, '\\$&')}%`})`;
  return sql`${column} ? ${key}`;
}

/**
 * `pulp_label_select`: a conjunction of terms, `\,` for a comma in a value (spec: core, pulp_label_select). `sparse`: the index is of rows that have
 * labels only.
 */
export const labelFilter = ({ sparse = false } = {}): Filter => ({
  ...conditionFilter((selector) => {
    const column = sql`m.pulp_labels`;
    const terms = selector.split(/(?<!\\),/).map((term) => term.replaceAll('\\,', ','));
    const conditions = terms.map((term) => termCondition(term, column));
    if (sparse && terms.some((term) => !term.trim().startsWith('!'))) conditions.push(sql`${column} <> '{}'`);
    return join(conditions, ' and ');
  }),
  refusesEmpty: true,
});

/** `set_label/` and `unset_label/` on rows of a table that has pulp_labels. `documented`: the status that the contract names. */
export function labelActions(table: string, documented: 200 | 201 = 201): NonNullable<Resource['actions']> {
  const set: Action = {
    method: 'post',
    summary: 'Set a label',
    body: {
      component: 'SetLabel',
      fields: {
        key: { wire: text(), required: true, description: 'Name of the label.' },
        value: { wire: text({ nullable: true, blank: true }), required: true, description: 'Its value, or null.' },
      },
    },
    responses: [{ status: documented, component: SET_LABEL_RESPONSE }],
    async run({ request, row, body }) {
      const { key, value } = body as { key: string; value: string | null };
      const problem = labelProblem(key, value);
      if (problem) throw new ValidationError({ non_field_errors: [problem] });
      await request.services.db.execute(
        sql`update ${raw(table)} set pulp_labels = pulp_labels || ${JSON.stringify({ [key]: value })}::jsonb, pulp_last_updated = now() where id = ${row.id}::uuid`,
      );
      return { status: 201, body: { key, value } };
    },
  };
  const unset: Action = {
    method: 'post',
    summary: 'Unset a label',
    body: { component: 'UnsetLabel', fields: { key: { wire: text(), required: true, description: 'Name of the label.' } } },
    responses: [{ status: documented, component: UNSET_LABEL_RESPONSE }],
    async run({ request, row, body }) {
      const { key } = body as { key: string };
      const [removed] = await request.services.db.query<{ value: string | null }>(sql`
        update ${raw(table)} t set pulp_labels = t.pulp_labels - ${key}::text, pulp_last_updated = now()
        from ${raw(table)} old where t.id = ${row.id}::uuid and old.id = t.id and old.pulp_labels ? ${key} returning old.pulp_labels->>${key} as value`);
      if (!removed) throw new ValidationError({ key: [`Label '${key}' is not set on the object.`] });
      return { status: 201, body: { key, value: removed.value } };
    },
  };
  return { set_label: set, unset_label: unset };
}
