import { z } from 'zod';
import { sql } from '../db/sql.ts';
import { uniqueViolation } from './conflicts.ts';
import type { Columns, Resource, Row, Store } from './define-resource.ts';
import { defineTask, type TaskContext, type TaskDefinition } from './define-task.ts';
import { hrefOf, prnType, resourceKey } from './names.ts';
import { serialize } from './serialize.ts';

/*
 * Create, update and delete of any resource as tasks. They carry columns that are ready to be written: the request was
 * checked and its references resolved before the task was made, and secrets are sealed already.
 */
const columns = z.record(z.string(), z.unknown());

/** How the rows of a resource that has verbs which write are written. */
export const storeOf = (resource: Resource): Store => {
  if (!resource.store) throw new Error(`${resourceKey(resource)} has no store`);
  return resource.store;
};

async function currentRow(resource: Resource, id: string, context: TaskContext): Promise<Row> {
  const [row] = await context.services.db.query<Row>(
    sql`select ${resource.select} from ${resource.from} where m.id = ${id}::uuid`,
  );
  if (!row) throw new Error(`The ${resource.title[0]} ${id} was removed before its task ran.`);
  return row;
}

/** `pulpcore.app.tasks.base.general_create`: the created resource is the result and the created resource. */
export const generalCreate = defineTask({
  name: 'pulpcore.app.tasks.base.general_create',
  args: z.object({ resource: z.string(), id: z.uuid(), columns }),
  immediate: true,
  async run(args, context) {
    const { services, task } = context;
    const resource = services.catalog.resource(args.resource);
    await uniqueViolation(resource, () =>
      services.db.transaction(async (tx) => {
        const own = (made: Resource, id: string) => services.access.created(tx, made, id, task.created_by_id);
        await storeOf(resource).insert(tx, { id: args.id, domain_id: task.domain_id, columns: args.columns as Columns, own });
        await own(resource, args.id);
      }),
    );
    await resource.creation?.after(args.id, args.columns as Columns, context);
    context.created(hrefOf(resource, args.id), `prn:${prnType(resource)}:${args.id}`);
    return serialize(resource, await currentRow(resource, args.id, context), services);
  },
});

/** `pulpcore.app.tasks.base.ageneral_update`: the updated resource is the result. */
export const generalUpdate = defineTask({
  name: 'pulpcore.app.tasks.base.ageneral_update',
  args: z.object({ resource: z.string(), id: z.uuid(), columns }),
  immediate: true,
  async run(args, context) {
    const { services } = context;
    const resource = services.catalog.resource(args.resource);
    await uniqueViolation(resource, () =>
      services.db.transaction((tx) => storeOf(resource).update(tx, args.id, args.columns as Columns)),
    );
    return serialize(resource, await currentRow(resource, args.id, context), services);
  },
});

const deleteTask = (name: string, immediate: boolean): TaskDefinition<z.ZodObject<{ resource: z.ZodString; id: z.ZodUUID }>> =>
  defineTask({
    name,
    args: z.object({ resource: z.string(), id: z.uuid() }),
    ...(immediate ? { immediate: true } : {}),
    async run(args, { services }) {
      const resource = services.catalog.resource(args.resource);
      return services.db.transaction((tx) => storeOf(resource).delete(tx, args.id));
    },
  });

/** Deletes of one row, run at once where its lock is free. */
export const generalDelete = deleteTask('pulpcore.app.tasks.base.ageneral_delete', true);
/** Deletes that take other rows along. */
export const generalMultiDelete = deleteTask('pulpcore.app.tasks.base.general_multi_delete', true);

export const generalTasks: readonly TaskDefinition[] = [generalCreate, generalUpdate, generalDelete, generalMultiDelete];
