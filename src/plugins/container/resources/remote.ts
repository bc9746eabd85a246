import { defineRemote } from '../../../core/plugin-api.ts';
import type { Field } from '../../../kit/define-resource.ts';
import { ValidationError } from '../../../kit/errors.ts';
import { OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { list, text } from '../../../kit/wire.ts';
import { parseDigest } from '../../../lib/digest.ts';
import { remotePolicy } from '../access/policies.ts';

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
export const containerRemote = defineRemote({
  plugin: 'container',
  endpoint: 'container',
  model: 'ContainerRemote',
  title: ['container remote', 'container remotes'],
  description: 'A container remote says how to reach one repository of an upstream registry.',
  policy: remotePolicy,
  roles: OWNED_AND_VIEWED,
  policies: ['immediate', 'on_demand', 'streamed'],
  aliases: ['include_tags', 'exclude_tags'],
  fields: {
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
  detail: { table: 'container_remote', columns: ['upstream_name', 'includes', 'excludes', 'sigstore', 'cache_id'] },
});
