import type { Database, Queryable } from '../../db/database.ts';
import { sql } from '../../db/sql.ts';
import type { Resource } from '../../kit/define-resource.ts';
import { resourceKey } from '../../kit/names.ts';
import type { NamedFunction, Policy, Statement } from '../../kit/policy.ts';
import { type Rule, ruleOf } from './statements.ts';

/** Sent by every transaction that writes a policy; the payload is its name. */
export const POLICY_CHANNEL = 'deckle_access_policy';

/** A policy as it is in force. */
export interface EffectivePolicy {
  readonly rules: readonly Rule[];
  readonly creation_hooks: readonly NamedFunction[];
  readonly queryset_scoping: NamedFunction | null;
}

/** What an administrator has changed of a policy; null: as declared. */
export interface PolicyChange {
  readonly viewset_name: string;
  readonly statements: readonly Statement[] | null;
  readonly creation_hooks: readonly NamedFunction[] | null;
  /** Set to `{}`: no scoping. */
  readonly queryset_scoping: NamedFunction | Record<string, never> | null;
}

const isFunction = (value: object): value is NamedFunction => 'function' in value;

function effective(declared: Policy, change: PolicyChange | undefined): EffectivePolicy {
  const scoping = change?.queryset_scoping ?? declared.queryset_scoping ?? {};
  return {
    rules: (change?.statements ?? declared.statements).map(ruleOf),
    creation_hooks: change?.creation_hooks ?? declared.creation_hooks ?? [],
    queryset_scoping: isFunction(scoping) ? scoping : null,
  };
}

/**
 * The policies in force: those that resources declare, with what was changed of them. Changes are few and kept in memory
 * until a notification says that there is another; while notifications cannot be received they are read each time.
 */
export class Policies {
  readonly #db: Database;
  readonly #declared = new WeakMap<Resource, EffectivePolicy>();
  #changes: Promise<ReadonlyMap<string, PolicyChange>> | undefined;
  #stop: (() => Promise<void>) | undefined;

  private constructor(db: Database) {
    this.#db = db;
  }

  /** Resolves when changes are listened for, or cannot be (it is tried again). */
  static async open(db: Database): Promise<Policies> {
    const policies = new Policies(db);
    const forget = () => {
      policies.#changes = undefined;
    };
    policies.#stop = await db.listen(POLICY_CHANNEL, forget, forget);
    return policies;
  }

  async close(): Promise<void> {
    await this.#stop?.();
  }

  /**
   * The policy of a resource; undefined where it has none. Inside a transaction `db` is its own connection: to wait for another one
   * while holding that could be for ever.
   */
  async of(resource: Resource, db: Queryable = this.#db): Promise<EffectivePolicy | undefined> {
    if (!resource.policy) return undefined;
    const change = (await this.#read(db)).get(resourceKey(resource));
    if (change) return effective(resource.policy, change);
    const known = this.#declared.get(resource) ?? effective(resource.policy, undefined);
    this.#declared.set(resource, known);
    return known;
  }

  #read(db: Queryable): Promise<ReadonlyMap<string, PolicyChange>> {
    const upToDate = this.#db.upToDate();
    if (this.#changes && upToDate) return this.#changes;
    const read = db
      .query<PolicyChange>(
        sql`select viewset_name, statements, creation_hooks, queryset_scoping from access_policy where customized`,
      )
      .then((rows) => new Map(rows.map((row) => [row.viewset_name, row])));
    if (upToDate) {
      this.#changes = read;
      // What could not be read is asked for again.
      read.catch(() => {
        if (this.#changes === read) this.#changes = undefined;
      });
    }
    return read;
  }
}
