import { z } from 'zod';
import type { Fields } from '../../kit/define-resource.ts';
import { NAME_LOOKUPS } from '../../kit/filters.ts';
import { text, type Wire } from '../../kit/wire.ts';

const MAX_NAME = 150;
const MAX_EMAIL = 254;
const MAX_PASSWORD = 4096;

const checked = (wire: Wire<string>, valid: (value: string) => boolean, message: string): Wire<string> => ({
  ...wire,
  schema: wire.schema.refine(valid, message),
});

/** A name without a colon: Basic credentials end the name at the first one (RFC 7617). */
const username = checked(text({ max: MAX_NAME }), (name) => !name.includes(':'), 'A username must not contain a colon.');
const email = checked(
  text({ max: MAX_EMAIL, blank: true, format: 'email' }),
  (address) => address === '' || z.email().safeParse(address).success,
  'Enter a valid email address.',
);
export const passwordText = text({ max: MAX_PASSWORD });
export const passwordWire = text({ max: MAX_PASSWORD, nullable: true });

const LOOKUPS = NAME_LOOKUPS.filter((lookup) => ['exact', 'iexact', 'in', 'contains', 'icontains'].includes(lookup));

/** What a user may change of himself, passwords aside. */
export const personFields = {
  username: { wire: username, required: true, unique: true, description: 'Name that the user logs in with.', lookups: LOOKUPS },
  first_name: { wire: text({ max: MAX_NAME, blank: true }), description: 'First name.', lookups: LOOKUPS },
  last_name: { wire: text({ max: MAX_NAME, blank: true }), description: 'Last name.', lookups: LOOKUPS },
  email: { wire: email, description: 'Email address.', lookups: LOOKUPS },
} as const satisfies Fields;
