import type { Field, Fields } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import type { Filter } from '../../kit/filters.ts';
import { NAME_LOOKUPS, TIME_LOOKUPS } from '../../kit/filters.ts';
import { labelFilter } from '../../kit/labels.ts';
import { hiddenFields, timeFields } from '../../kit/serialize.ts';
import { bool, choice, decimal, headerList, integer, labels, text } from '../../kit/wire.ts';

/** Columns that are sealed at rest and never answered. */
export const REMOTE_SECRETS = ['client_key', 'proxy_username', 'proxy_password', 'username', 'password'] as const;

/** The blocks of a PEM text, without what stands around them. */
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;

const pem = (name: string, description: string): Field => ({
  wire: text({ nullable: true }),
  description,
  resolve: (value) => {
    if (value === null) return { [name]: null };
    const blocks = String(value).match(PEM_BLOCK);
    if (!blocks) throw new ValidationError({ [name]: [`No ${name} specified in string ${String(value).slice(0, 200)}`] });
    return { [name]: blocks.join('\n') };
  },
});

const secret = (description: string): Field => ({ wire: text({ nullable: true }), access: 'write', secret: true, description });
const seconds = (description: string): Field => ({ wire: decimal({ nullable: true, min: 0 }), description });

/** Throws ValidationError for what is no URL of an upstream; files only where the operator allows them (spec: core, remote fields). */
function checkUrl(value: string, allowedPaths: readonly string[]): void {
  const refuse = (message: string) => new ValidationError({ url: [message] });
  if (!URL.canParse(value)) throw refuse('Enter a valid URL.');
  const url = new URL(value);
  if (url.username || url.password) {
    throw refuse('The remote url contains username or password. Please use remote username or password instead.');
  }
  if (url.protocol === 'file:') {
    const path = decodeURIComponent(url.pathname);
    const inside = allowedPaths.some((allowed) => path === allowed || path.startsWith(`${allowed.replace(/\/+$/, '')}/`));
    if (!inside) throw refuse(`The path '${path}' does not start with any of the allowed import paths`);
  } else if (!/^https?:$/.test(url.protocol) || url.hostname === '') throw refuse('Enter a valid URL.');
}

const upstreamUrl: Field = {
  wire: text(),
  required: true,
  description: 'URL of the upstream.',
  resolve: (value, { request }) => {
    checkUrl(String(value), request.services.config.PULP_ALLOWED_IMPORT_PATHS);
    return { url: value };
  },
};

const proxyUrl: Field = {
  wire: text({ nullable: true }),
  description: 'URL of the proxy to go through, without credentials: scheme://host:port.',
  resolve: (value) => {
    if (value === null) return { proxy_url: null };
    const given = String(value);
    if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol))
      throw new ValidationError({ proxy_url: ['Enter a valid URL.'] });
    const url = new URL(given);
    if (url.username || url.password) throw new ValidationError({ proxy_url: ['proxy_url must not contain credentials'] });
    return { proxy_url: given };
  },
};

/** The fields of every remote (spec: core, remote fields). `policies`: what the kind allows, the first being the default. */
export const remoteFields = (policies: readonly string[], aliases: readonly string[] = []): Fields => ({
  ...timeFields,
  pulp_last_updated: { ...timeFields.pulp_last_updated, lookups: TIME_LOOKUPS },
  name: { wire: text(), required: true, unique: true, lookups: NAME_LOOKUPS, description: 'A unique name for this remote.' },
  url: upstreamUrl,
  pulp_labels: { wire: labels(), description: 'Labels: text by key.' },
  policy: {
    wire: choice(policies),
    default: policies[0],
    description: 'When content is fetched: at sync, or when a client asks for it.',
  },
  hidden_fields: hiddenFields((row) => [
    ...REMOTE_SECRETS.map((secret) => [secret, row[secret] !== null] as const),
    // Write-only names that are never set.
    ...aliases.map((alias) => [alias, false] as const),
  ]),
  ca_cert: pem('ca_cert', "PEM of the authority that the upstream's certificate is checked with."),
  client_cert: pem('client_cert', 'PEM of the certificate that is shown to the upstream.'),
  client_key: secret('PEM of the private key of the client certificate.'),
  tls_validation: { wire: bool(), description: "Whether the upstream's certificate is checked." },
  proxy_url: proxyUrl,
  proxy_username: secret('User name at the proxy.'),
  proxy_password: secret('Password at the proxy.'),
  username: secret('User name at the upstream.'),
  password: secret('Password at the upstream.'),
  max_retries: {
    wire: integer({ nullable: true, min: 0 }),
    description: 'How often a failed request is repeated; null: 3 times.',
  },
  total_timeout: seconds('Seconds for a whole request; null: no limit.'),
  connect_timeout: seconds('Seconds to get a connection.'),
  sock_connect_timeout: seconds('Seconds for the TCP connection to stand.'),
  sock_read_timeout: seconds('Seconds between two reads.'),
  headers: { wire: headerList(), description: 'Headers sent with every request to the upstream.' },
  download_concurrency: { wire: integer({ nullable: true, min: 1 }), description: 'Requests at once; null: the default.' },
  rate_limit: { wire: integer({ nullable: true, min: 0 }), description: 'Requests a second; null or 0: no limit.' },
});

const columns = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `m.${name}`]));

/** Names that lists of remotes can be ordered by. Secrets have an order only in name. */
export const REMOTE_ORDERING: Readonly<Record<string, string | null>> = {
  ...columns([
    'ca_cert',
    'client_cert',
    'connect_timeout',
    'download_concurrency',
    'headers',
    'max_retries',
    'name',
    'policy',
    'proxy_url',
    'pulp_created',
    'pulp_labels',
    'pulp_last_updated',
    'pulp_type',
    'rate_limit',
    'sock_connect_timeout',
    'sock_read_timeout',
    'tls_validation',
    'total_timeout',
    'url',
  ]),
  ...Object.fromEntries(REMOTE_SECRETS.map((name) => [name, null])),
  pk: 'm.id',
  pulp_id: 'm.id',
};

export const REMOTE_FILTERS: Readonly<Record<string, Filter>> = { pulp_label_select: labelFilter() };
