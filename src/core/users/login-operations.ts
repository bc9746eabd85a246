import { sql } from '../../db/sql.ts';
import { type ApiReply, type ApiRequest, callerOf, type Login, type Operation } from '../../kit/api.ts';
import { noteValues } from '../../kit/audit-note.ts';
import { parseBody } from '../../kit/body.ts';
import { requestComponent, responseComponent } from '../../kit/components.ts';
import { UNIQUE_MESSAGE, uniqueViolation } from '../../kit/conflicts.ts';
import type { Columns, Fields } from '../../kit/define-resource.ts';
import { NotAuthenticatedError, ValidationError } from '../../kit/errors.ts';
import { prnOf, userHref } from '../../kit/names.ts';
import { DIAGNOSTICS, FORMS, plainPath, SHAPING } from '../../kit/operations.ts';
import { described } from '../../kit/wire.ts';
import { hashPassword } from '../../lib/password-hash.ts';
import { authenticator } from './authenticate.ts';
import { checkPassword, type PasswordOwner } from './password-rules.ts';
import { ENDED_SESSION_COOKIE, sessionCookies } from './session-cookies.ts';
import { beginSession, endSession, keepSession } from './sessions.ts';
import { passwordText, personFields } from './user-fields.ts';
import { updateUser } from './user-row.ts';

const LOGIN = responseComponent('Login', {
  pulp_href: {
    wire: described({ type: 'string', format: 'uri' }),
    access: 'read',
    description: 'Path of the user.',
  },
  prn: { wire: described({ type: 'string' }), access: 'read', description: 'Pulp resource name of the user.' },
  username: { wire: described({ type: 'string' }), access: 'read', description: 'Name that the user logs in with.' },
});

/** A namespace of the registry is its namesake's. */
const NAME_OF_RIGHTS = 'Only an administrator can change the name of a user: there are rights that follow from it.';

/** `PATCH login/` takes part of them, so none is required. */
const { required: _, ...username } = personFields.username;
const ownFields = {
  ...personFields,
  username,
  old_password: { wire: passwordText, access: 'write', description: 'The present password, to set another one.' },
  new_password: { wire: passwordText, access: 'write', description: 'The new password.' },
} as const satisfies Fields;

const whoIs = ({ id, username }: Pick<Login, 'id' | 'username'>) => ({
  pulp_href: userHref(id),
  prn: prnOf('auth', 'User', id),
  username,
});

/** Begins a session; answers it in cookies. */
async function login(request: ApiRequest): Promise<ApiReply> {
  const caller = callerOf(request);
  const secret = await request.services.db.transaction(async (tx) => {
    await tx.execute(sql`update app_user set last_login = clock_timestamp() where id = ${caller.id}`);
    return beginSession(tx, caller);
  });
  request.audit.object = prnOf('auth', 'User', caller.id);
  const headers = {
    location: userHref(caller.id),
    'set-cookie': sessionCookies(secret, request.origin),
    'cache-control': 'no-store',
  };
  return { status: 201, headers, body: whoIs(caller) };
}

/** Ends the session that the request came with, if it did. */
async function logout(request: ApiRequest): Promise<ApiReply> {
  const { session } = callerOf(request);
  if (!session) return { status: 204 };
  await endSession(request.services.db, session);
  return { status: 204, headers: { 'set-cookie': ENDED_SESSION_COOKIE } };
}

interface OwnRow extends PasswordOwner {
  readonly id: string;
  readonly [column: string]: unknown;
}

/** The new password's hash. Throws ValidationError where the present one is not given, or not right, or the new one is easily guessed. */
async function changedPassword(request: ApiRequest, present: string | undefined, next: string, owner: OwnRow): Promise<string> {
  const refuse = (message: string) => new ValidationError({ non_field_errors: [message] });
  if (present === undefined) throw refuse('Old password is required to update the password.');
  const source = { ip: request.address, id: request.correlation_id, method: 'PATCH' };
  const right = await authenticator(request.services).knows(callerOf(request).username, present, source);
  if (!right) throw refuse('Old password is incorrect.');
  await checkPassword(next, owner);
  return hashPassword(next);
}

/** A user changes his own name, address or password. */
async function update(request: ApiRequest): Promise<ApiReply> {
  const { id, session } = callerOf(request);
  const { db } = request.services;
  const [row] = await db.query<OwnRow>(
    sql`select id::text as id, username, first_name, last_name, email from app_user where id = ${id}`,
  );
  if (!row) throw new NotAuthenticatedError();
  const parsed = parseBody(request.body, { fields: ownFields, partial: true, form: request.form });
  const { old_password, new_password, ...person } = parsed as Partial<
    PasswordOwner & Record<'old_password' | 'new_password', string>
  >;
  request.audit.object = prnOf('auth', 'User', id);
  noteValues(request, ownFields, { ...person, ...(new_password === undefined ? {} : { new_password }) }, row);
  if (person.username !== undefined && person.username !== row.username) {
    if (!callerOf(request).is_superuser) throw new ValidationError({ username: [NAME_OF_RIGHTS] });
    // What is wrong with a field is said before the password is looked at, let alone a wrong one counted.
    const [taken] = await db.query(sql`select from app_user where username = ${person.username}`);
    if (taken) throw new ValidationError({ username: [UNIQUE_MESSAGE] });
  }
  const columns: Columns = { ...person };
  const next = { ...row, ...person };
  if (new_password !== undefined) columns.password = await changedPassword(request, old_password, new_password, next);
  await uniqueViolation({ fields: ownFields }, () =>
    db.transaction(async (tx) => {
      await updateUser(tx, id, columns);
      if (session && columns.password) await keepSession(tx, session, { id, password: columns.password as string });
    }),
  );
  const { username, first_name, last_name, email } = next;
  return { status: 200, body: { username, first_name, last_name, email } };
}

const common = { ...plainPath('login/'), tag: 'Login', plugin: 'core', audience: 'users' } as const;

/** `/login/`: sessions by cookie, and what users may change of themselves. Whoever is logged in may do all of it. */
export const loginOperations: readonly Operation[] = [
  {
    ...common,
    operationId: 'login_read',
    method: 'get',
    summary: 'Inspect who is logged in',
    parameters: [DIAGNOSTICS, ...SHAPING],
    responses: [{ status: 200, component: LOGIN }],
    handler: async (request) => ({ status: 200, body: whoIs(callerOf(request)) }),
  },
  {
    ...common,
    operationId: 'login',
    method: 'post',
    summary: 'Log in and begin a session',
    parameters: [DIAGNOSTICS],
    responses: [{ status: 201, component: LOGIN }],
    handler: login,
  },
  {
    ...common,
    operationId: 'login_update',
    method: 'patch',
    summary: 'Change your own name, address or password',
    parameters: [DIAGNOSTICS],
    body: { component: requestComponent('LoginUpdate', ownFields, true), mediaTypes: FORMS },
    responses: [{ status: 200, component: responseComponent('LoginUpdate', ownFields) }],
    handler: update,
  },
  {
    ...common,
    operationId: 'logout',
    method: 'delete',
    summary: 'Log out and end the session',
    parameters: [DIAGNOSTICS],
    responses: [{ status: 204 }],
    handler: logout,
  },
];
