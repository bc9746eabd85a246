import { ValidationError } from '../../kit/errors.ts';

const MIN_LENGTH = 8;
/** Of the characters of a password and an attribute, how many may be the same. */
const MAX_SIMILARITY = 0.7;

/** What a password must not be like: parts of the user's own attributes. */
export interface PasswordOwner {
  readonly username: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly email: string;
}

const ATTRIBUTES = { username: 'username', first_name: 'first name', last_name: 'last name', email: 'email address' } as const;

let common: Promise<ReadonlySet<string>> | undefined;

/** The 49,000 passwords that leaked most often; read when the first password is set. */
function commonPasswords(): Promise<ReadonlySet<string>> {
  common ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set(dictionary['passwords-common']));
  return common;
}

/** How many characters two texts share, in any order, of all that they have: 0 to 1. */
function similarity(a: string, b: string): number {
  const left = new Map<string, number>();
  for (const character of b) left.set(character, (left.get(character) ?? 0) + 1);
  let shared = 0;
  for (const character of a) {
    const count = left.get(character) ?? 0;
    if (count > 0) shared += 1;
    left.set(character, count - 1);
  }
  return (2 * shared) / ([...a].length + [...b].length);
}

function similarAttribute(password: string, owner: PasswordOwner): string | undefined {
  const given = password.toLowerCase();
  const isLike = (part: string) => part !== '' && similarity(given, part) >= MAX_SIMILARITY;
  const names = Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[];
  const name = names.find((attribute) => {
    const value = owner[attribute].toLowerCase();
    return [value, ...value.split(/\W+/)].some(isLike);
  });
  return name && ATTRIBUTES[name];
}

/** Refuses a password that is easily guessed, with every reason (spec: rbac, endpoints). Throws ValidationError. */
export async function checkPassword(password: string, owner: PasswordOwner): Promise<void> {
  const problems: string[] = [];
  const similar = similarAttribute(password, owner);
  if (similar) problems.push(`The password is too similar to the ${similar}.`);
  if ([...password].length < MIN_LENGTH)
    problems.push(`This password is too short. It must contain at least ${MIN_LENGTH} characters.`);
  if ((await commonPasswords()).has(password.toLowerCase())) problems.push('This password is too common.');
  if (/^\d+$/.test(password)) problems.push('This password is entirely numeric.');
  if (problems.length > 0) throw new ValidationError({ non_field_errors: problems });
}
