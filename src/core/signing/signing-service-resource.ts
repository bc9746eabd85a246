import { sql } from '../../db/sql.ts';
import type { ApiRequest } from '../../kit/api.ts';
import { defineResource, type Field } from '../../kit/define-resource.ts';
import { ValidationError } from '../../kit/errors.ts';
import { resolveReference } from '../../kit/references.ts';
import { baseFields } from '../../kit/serialize.ts';
import type { SigningClass } from '../../kit/signing-class.ts';
import { described } from '../../kit/wire.ts';

const place = { kind: 'signing-services', plugin: 'core', endpoint: '', model: 'SigningService' } as const;

const answered = (description: string): Field => ({ wire: described({ type: 'string' }), required: true, description });

/** A script that signs. Made by the operator, on the command line: the API only shows them. */
export const signingService = defineResource({
  ...place,
  title: ['signing service', 'signing services'],
  description: 'A script that signs files, and the public key of its signatures.',
  fields: {
    ...baseFields(place),
    name: { ...answered('Its name.'), lookups: ['exact'] },
    public_key: answered('The public key, ASCII-armored.'),
    pubkey_fingerprint: answered('The fingerprint of the key.'),
    script: answered('Path of the script, on the machines of the workers.'),
  },
  ordering: {
    name: 'm.name',
    pk: 'm.id',
    pubkey_fingerprint: 'm.pubkey_fingerprint',
    public_key: 'm.public_key',
    pulp_created: 'm.pulp_created',
    pulp_id: 'm.id',
    pulp_last_updated: 'm.pulp_last_updated',
    script: 'm.script',
  },
  // Without a policy: only administrators list and read them. Who may change what they sign may name any.
  named: async () => undefined,
  verbs: ['list', 'read'],
  select: sql`m.*`,
  from: sql`signing_service m`,
});

/** The id of the service that a field's value names, where it is of this class. Throws ValidationError. */
export async function signingServiceOf(
  field: string,
  value: string,
  { name }: SigningClass,
  request: ApiRequest,
): Promise<string> {
  const { row } = await resolveReference(field, value, [signingService], request);
  if (row.service_class !== name) throw new ValidationError({ [field]: ['Invalid hyperlink - Object does not exist.'] });
  return row.id;
}
