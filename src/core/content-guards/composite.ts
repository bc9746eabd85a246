import type { Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Columns, ResolveInput, Resource, Row, Store } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { collectionOf, isUuid } from '../../kit/names.ts';
import { noMatch, visibleIds } from '../../kit/references.ts';
import { list, reference } from '../../kit/wire.ts';
import { defineContentGuard } from './define-content-guard.ts';

interface Member {
  readonly id: string;
  readonly pulp_type: string;
}

const MISSING = 'Invalid hyperlink - Object does not exist.';

/** The ids that hrefs or PRNs name, each once, in their order. Throws ValidationError, also where the guard would ask itself. */
async function memberIds(references: readonly string[], { request, row }: ResolveInput): Promise<string[]> {
  const refuse = (message: string) => new ValidationError({ guards: [message] });
  const byResource = new Map<Resource, Set<string>>();
  const ids = new Set<string>();
  for (const text of references) {
    const located = request.services.catalog.locate(text);
    if (!located) throw refuse(noMatch(text));
    const { resource, id } = located;
    if (resource.kind !== 'contentguards' || located.version !== undefined || !isUuid(id)) throw refuse(MISSING);
    byResource.set(resource, (byResource.get(resource) ?? new Set()).add(id));
    ids.add(id);
  }
  for (const [resource, asked] of byResource) {
    if ((await visibleIds(resource, [...asked], request)).length < asked.size) throw refuse(MISSING);
  }
  if (row && (await reaches(request.services.db, [...ids], row.id))) throw refuse('A guard cannot be asked by itself.');
  return [...ids];
}

/** Whether one of the guards is `target`, or asks it. */
async function reaches(db: Queryable, ids: readonly string[], target: string): Promise<boolean> {
  const found = await db.query(sql`
    with recursive asked(id) as (
      select unnest(${ids}::uuid[])
      union select m.guard_id from composite_guard_member m join asked on asked.id = m.composite_id)
    select 1 from asked where id = ${target}::uuid`);
  return found.length > 0;
}

/** `members` is no column: its rows are replaced. */
function withMembers(store: Store): Store {
  const split = ({ members, ...columns }: Columns) => ({ members: members as readonly string[] | undefined, columns });
  const write = async (tx: Queryable, id: string, members: readonly string[] | undefined) => {
    if (!members) return;
    await tx.execute(sql`delete from composite_guard_member where composite_id = ${id}::uuid`);
    await tx.execute(sql`
      insert into composite_guard_member (composite_id, guard_id, position)
      select ${id}::uuid, g.id, asked.position from unnest(${members}::uuid[]) with ordinality as asked(id, position)
        join content_guard g on g.id = asked.id`);
  };
  return {
    ...store,
    async insert(tx, row) {
      const { members, columns } = split(row.columns);
      await store.insert(tx, { ...row, columns });
      await write(tx, row.id, members);
    },
    async update(tx, id, changed) {
      const { members, columns } = split(changed);
      await store.update(tx, id, columns);
      await write(tx, id, members);
    },
  };
}

/** Lets those pass whom one of its guards lets pass. */
export const compositeGuard = defineContentGuard({
  endpoint: 'composite',
  model: 'CompositeContentGuard',
  title: ['composite content guard', 'composite content guards'],
  description: 'Lets requests pass that one of its guards lets pass; without guards, all.',
  fields: {
    guards: {
      wire: list(reference(), { json: { type: ['string', 'null'], format: 'uri' } }),
      description: 'The guards to ask, in this order.',
      value: (row: Row) =>
        (row.guards as Member[]).map(({ id, pulp_type }) => `${collectionOf('contentguards', pulp_type)}${id}/`),
      resolve: async (value, input) => ({ members: await memberIds(value as string[], input) }),
    },
  },
  columns: sql`, (
    select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'pulp_type', g.pulp_type) order by c.position), '[]')
    from composite_guard_member c join content_guard g on g.id = c.guard_id where c.composite_id = m.id) as guards,
    array(select c.guard_id::text from composite_guard_member c where c.composite_id = m.id order by c.position) as members`,
  store: withMembers,
  hrefParameter: 'composite_content_guard_href',
});
