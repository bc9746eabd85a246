import { createHash } from 'node:crypto';
import { v7 as uuid7 } from 'uuid';
import type { Queryable } from '../../db/database.ts';
import { insertRow } from '../../db/rows.ts';

/** What somebody has done, or tried to (security rule 16). */
export interface AuditEntry {
  /** Null for somebody who is not, or not yet, known. */
  readonly user_id: number | null;
  /** The name of the user, or the one that was claimed. */
  readonly username: string;
  /** Address of the client. */
  readonly address: string;
  /** How the user was known: `password`, `session`, the PRN of an API token; null: not at all. */
  readonly authentication: string | null;
  readonly method: string;
  /** operationId, or a name of its own for what is no operation of the API: `authenticate`. */
  readonly operation: string;
  /** PRN of what it was done to. */
  readonly object?: string;
  /** The changed fields, without secrets. */
  readonly before?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
  /** Of the answer. */
  readonly status: number;
  readonly correlation_id: string;
}

const MAX_USERNAME = 150;
/** A change that is larger as JSON is known by its digest. */
const MAX_CHANGE_BYTES = 16 * 1024;

/** PostgreSQL takes no NUL and no half of a surrogate pair. */
const storable = (text: string): string => text.toWellFormed().replaceAll('\0', '\ufffd');

function bounded(change: Readonly<Record<string, unknown>>): unknown {
  const text = JSON.stringify(change, (_name, value: unknown) => (typeof value === 'string' ? storable(value) : value));
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_CHANGE_BYTES) return JSON.parse(text);
  return { sha256: createHash('sha256').update(text).digest('hex'), bytes };
}

/** Adds an entry to the audit log. */
export async function writeAudit(db: Queryable, { object, before, after, ...entry }: AuditEntry): Promise<void> {
  await insertRow(db, 'audit_entry', {
    id: uuid7(),
    ...entry,
    username: storable(entry.username).slice(0, MAX_USERNAME),
    ...(object ? { object } : {}),
    ...(before ? { before: bounded(before) } : {}),
    ...(after ? { after: bounded(after) } : {}),
  });
}
