import { writeAudit } from '../core/audit/audit-log.ts';
import { tokenPrnOf } from '../core/users/credential.ts';
import type { ApiReply, ApiRequest, Login, Operation } from '../kit/api.ts';
import { PermissionDeniedError } from '../kit/errors.ts';
import type { RunOperation } from '../kit/routes.ts';
import type { Services } from '../kit/services.ts';
import { statusOf } from './error-handler.ts';

const authenticationOf = ({ credential, session }: Login): string =>
  session ? 'session' : (tokenPrnOf(credential) ?? 'password');

const TASK_DISPATCHED = 202;

/** Adds what was done to the audit log. What cannot be written there goes to the process's log: the answer is decided by then, and true. */
async function record({ db, log }: Services, operation: Operation, request: ApiRequest, status: number): Promise<void> {
  const { caller, address, audit, correlation_id } = request;
  const entry = {
    user_id: caller?.id ?? null,
    username: caller?.username ?? '',
    address,
    authentication: caller && authenticationOf(caller),
    method: operation.method.toUpperCase(),
    operation: operation.operationId,
    ...audit,
    status,
    correlation_id,
  };
  try {
    await writeAudit(db, entry);
  } catch (error) {
    log.error({ err: error, entry }, 'the audit log could not be written');
  }
}

/** Runs an operation for those who may ask for it at all. Throws PermissionDeniedError, and what its handler does. */
async function run(operation: Operation, request: ApiRequest): Promise<ApiReply> {
  if (operation.audience === 'administrators' && !request.caller?.is_superuser) throw new PermissionDeniedError();
  return operation.handler(request);
}

/**
 * Runs operations; those that are no reads are recorded, with their outcome, and seen by every process before they are answered. The
 * one place for it: no operation has to think of the audit log, or of what other processes keep in memory.
 */
export const audited =
  (services: Services): RunOperation =>
  async (operation, request) => {
    if (operation.method === 'get') return run(operation, request);
    let status = 500;
    try {
      const reply = await run(operation, request);
      status = reply.status;
      // Whoever is answered may ask another process next. What a task changes is seen before its end.
      if (status !== TASK_DISPATCHED) await services.db.seenEverywhere();
      return reply;
    } catch (error) {
      status = statusOf(error as Error);
      throw error;
    } finally {
      await record(services, operation, request, status);
    }
  };
