import type { Queryable } from '../db/database.ts';
import { insertRow, updateRow } from '../db/rows.ts';
import { raw, sql } from '../db/sql.ts';
import type { Columns, Store } from './define-resource.ts';
import { NotFoundError } from './errors.ts';

export interface TableStoreOptions {
  /** The master table: `remote`. */
  readonly master: string;
  readonly pulpType?: string;
  /** The detail table that shares the id, and which columns are its own. */
  readonly detail?: { readonly table: string; readonly columns: readonly string[] };
  /** The rows belong to no domain. */
  readonly global?: true;
  /** Model names that a delete counts: master and detail. */
  readonly counted: readonly string[];
  /** NOTIFY channel that tells other processes of a change, with the row's id. */
  readonly channel?: string;
  /** What else an insert makes, in the same transaction. */
  readonly afterInsert?: (tx: Queryable, row: { readonly id: string; readonly domain_id: string }) => Promise<void>;
  /** What else an update causes, in the same transaction. */
  readonly afterUpdate?: (tx: Queryable, id: string, columns: Columns) => Promise<void>;
}

/** The store of a master row with a detail row that shares its id. */
export function tableStore(options: TableStoreOptions): Store {
  const { master, detail, channel } = options;
  const own = new Set(detail?.columns);
  const split = (columns: Columns): [master: Columns, detail: Columns] => [
    Object.fromEntries(Object.entries(columns).filter(([name]) => !own.has(name))),
    Object.fromEntries(Object.entries(columns).filter(([name]) => own.has(name))),
  ];
  const notify = async (tx: Queryable, id: string) => {
    if (channel) await tx.query(sql`select pg_notify(${channel}, ${id})`);
  };
  return {
    async insert(tx, { id, domain_id, columns }) {
      const [masterColumns, detailColumns] = split(columns);
      await insertRow(tx, master, {
        id,
        ...(options.global ? {} : { domain_id }),
        ...(options.pulpType ? { pulp_type: options.pulpType } : {}),
        ...masterColumns,
      });
      if (detail) await insertRow(tx, detail.table, { id, ...detailColumns });
      await options.afterInsert?.(tx, { id, domain_id });
      await notify(tx, id);
    },
    async update(tx, id, columns) {
      const [masterColumns, detailColumns] = split(columns);
      if (!(await updateRow(tx, master, id, { ...masterColumns, pulp_last_updated: sql`clock_timestamp()` })))
        throw new NotFoundError();
      if (detail) await updateRow(tx, detail.table, id, detailColumns);
      await options.afterUpdate?.(tx, id, columns);
      await notify(tx, id);
    },
    async delete(tx, id) {
      const gone = await tx.execute(sql`delete from ${raw(master)} where id = ${id}::uuid`);
      await notify(tx, id);
      return Object.fromEntries(options.counted.map((model) => [model, gone]));
    },
  };
}
