import { sql } from '../../db/sql.ts';
import { defineResource, type Field } from '../../kit/define-resource.ts';
import { type Lookup, NUMBER_LOOKUPS, TIME_LOOKUPS } from '../../kit/filters.ts';
import { allow, mayAnywhere } from '../../kit/policy.ts';
import { nameFields, timeFields } from '../../kit/serialize.ts';
import { described } from '../../kit/wire.ts';

const place = { kind: 'audit-log', plugin: 'core', endpoint: '', model: 'AuditEntry' } as const;
const VIEW = 'core.view_auditentry';

const said = (description: string, lookups: readonly Lookup[] = ['exact', 'in'], type: unknown = 'string'): Field => ({
  wire: described({ type }),
  access: 'read',
  description,
  lookups,
});

/** What somebody has done, or tried to: read only, and for administrators and those who hold `core.audit_viewer`. */
export const auditEntry = defineResource({
  ...place,
  title: ['audit log entry', 'audit log entries'],
  description: 'What somebody has done, or tried to do. Entries cannot be changed, and are removed by the retention alone.',
  fields: {
    ...nameFields(place),
    pulp_created: { ...timeFields.pulp_created, lookups: TIME_LOOKUPS },
    username: said('The user, or, where nobody was logged in, the name that was claimed.', [
      'exact',
      'iexact',
      'in',
      'contains',
      'icontains',
    ]),
    user_id: said('Number of the user; null where nobody was logged in.', NUMBER_LOOKUPS, ['integer', 'null']),
    address: said('Address of the client.', ['exact', 'in', 'startswith']),
    authentication: said(
      'How the user was known: `password`, `session`, or the PRN of an API token.',
      ['exact', 'in'],
      ['string', 'null'],
    ),
    method: said('Method of the request.'),
    operation: said(
      'The operation, by its operationId; `authenticate` for a login that failed, `token` for a registry token that lets its bearer write.',
      ['exact', 'in', 'contains', 'startswith'],
    ),
    object: said('PRN of what it was done to.', ['exact', 'in', 'startswith'], ['string', 'null']),
    before: {
      wire: described({ type: ['object', 'null'] }),
      access: 'read',
      description: 'The changed fields as they were, without secrets; of a change larger than 16 KiB the SHA-256.',
    },
    after: {
      wire: described({ type: ['object', 'null'] }),
      access: 'read',
      description: 'The changed fields as they were to become, or what came with the request.',
    },
    status: said('Status of the answer.', ['exact', 'in', 'lt', 'lte', 'gt', 'gte'], 'integer'),
    correlation_id: said('Correlation id of the request, which its tasks carry as `logging_cid`.'),
  },
  ordering: {
    pulp_created: 'm.pulp_created',
    username: 'm.username',
    operation: 'm.operation',
    object: 'm.object',
    status: 'm.status',
    address: 'm.address',
  },
  verbs: ['list', 'read'],
  policy: { statements: [allow(['list', 'retrieve'], mayAnywhere(VIEW))] },
  select: sql`m.*`,
  from: sql`audit_entry m`,
  counted: { table: 'audit_entry' },
});

/** The role of those who read the audit log. */
export const auditRoles = {
  'core.audit_viewer': { description: 'Allow a user to read the audit log.', permissions: [VIEW] },
} as const;
