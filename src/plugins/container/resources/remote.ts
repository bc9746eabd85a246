import { REMOTE_FILTERS, REMOTE_ORDERING, remoteFields } from '../../../core/plugin-api.ts';
import { sql } from '../../../db/sql.ts';
import { defineResource, type Field } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { labelActions } from '../../../kit/labels.ts';
import { baseFields } from '../../../kit/serialize.ts';
import { tableStore } from '../../../kit/store.ts';
import { list, text } from '../../../kit/wire.ts';
import { parseDigest } from '../../../lib/digest.ts';

const place = { kind: 'remotes', plugin: 'container', endpoint: 'container', model: 'ContainerRemote' } as const;

const pattern = text({ max: 255 });

/** An entry that looks like a digest must be one: it is fetched as it stands (spec: sync, selection). */
function checkPatterns(name: string, patterns: readonly string[] | null): void {
  const wrong = (patterns ?? []).flatMap((entry, index) =>
    entry.startsWith('sha256:') && !parseDigest(entry)
      ? [[String(index), [`'${entry}' is not a valid digest: expected sha256: and 64 hexadecimal digits.`]] as const]
      : [],
  );
  if (wrong.length > 0) throw new ValidationError({ [name]: Object.fromEntries(wrong) });
}

const patterns = (name: string, description: string): Field => ({
  wire: list(pattern, { nullable: true }),
  description,
  column: `d.${name}`,
  resolve: (value) => {
    checkPatterns(name, value as string[] | null);
    return { [name]: value };
  },
});

/** A deprecated name whose values are appended to the present one's. */
const appended = (name: string, to: 'includes' | 'excludes'): Field => ({
  wire: list(pattern, { nullable: true }),
  access: 'write',
  description: `Deprecated: appended to ${to}.`,
  resolve: (value, { columns, row }) => {
    const more = value as string[] | null;
    checkPatterns(name, more);
    if (more === null || more.length === 0) return {};
    const present = (to in columns ? columns[to] : (row?.[to] ?? null)) as string[] | null;
    return { [to]: [...(present ?? []), ...more] };
  },
});

/** A container image registry to mirror one repository from. */
export const containerRemote = defineResource({
  ...place,
  title: ['container remote', 'container remotes'],
  description: 'A container remote says how to reach one repository of an upstream registry.',
  fields: {
    ...baseFields(place),
    ...remoteFields(['immediate', 'on_demand', 'streamed'], ['include_tags', 'exclude_tags']),
    upstream_name: {
      wire: text(),
      required: true,
      column: 'd.upstream_name',
      description: 'Name of the repository at the upstream.',
    },
    includes: patterns('includes', 'Tags to sync: names, patterns with * ? [], or digests of manifests.'),
    excludes: patterns('excludes', 'Tags not to sync, in the same forms; applied after includes.'),
    include_tags: appended('include_tags', 'includes'),
    exclude_tags: appended('exclude_tags', 'excludes'),
    sigstore: {
      wire: text({ format: 'uri' }),
      column: 'd.sigstore',
      description: "URL of the lookaside store of the images' signatures.",
      resolve: (value) => {
        if (!URL.canParse(String(value)) || !/^https?:$/.test(new URL(String(value)).protocol))
          throw new ValidationError({ sigstore: ['Enter a valid URL.'] });
        return { sigstore: value };
      },
    },
  },
  renamed: {
    ssl_ca_certificate: 'ca_cert',
    ssl_client_certificate: 'client_cert',
    ssl_client_key: 'client_key',
    ssl_validation: 'tls_validation',
    whitelist_tags: 'include_tags',
  },
  filters: REMOTE_FILTERS,
  ordering: REMOTE_ORDERING,
  verbs: ['list', 'create', 'read', 'update', 'partial_update', 'delete'],
  mutation: { create: 'sync', update: 'task', delete: 'task' },
  actions: labelActions('remote', 'change'),
  select: sql`m.*, d.upstream_name, d.includes, d.excludes, d.sigstore`,
  from: sql`remote m join container_remote d on d.id = m.id`,
  store: tableStore({
    master: 'remote',
    pulpType: 'container.container',
    detail: { table: 'container_remote', columns: ['upstream_name', 'includes', 'excludes', 'sigstore'] },
    counted: ['core.Remote', 'container.ContainerRemote'],
  }),
});
