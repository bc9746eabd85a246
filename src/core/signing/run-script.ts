import { resolve } from 'node:path';
import { z } from 'zod';
import type { SignedSubject, SigningClass } from '../../kit/signing-class.ts';
import { ProgramError, runProgram } from '../../lib/run-program.ts';
import { SigningError } from './signing-error.ts';

const LIMIT_MS = 60_000;

const answer = z.record(z.string(), z.unknown());

/** What a script is run with. */
export interface ScriptRun {
  readonly signingClass: SigningClass;
  /** Of the key to sign with. */
  readonly fingerprint: string;
  readonly subject: SignedSubject;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Has a script sign a file; answers the path of the signature. The script is given the file's path, and in PULP_SIGNING_KEY_FINGERPRINT the
 * key to sign with; it prints JSON. It runs in the subject's folder. Throws SigningError where it does not do so within a minute, or
 * the signal's reason.
 */
export async function runSigningScript(script: string, file: string, run: ScriptRun): Promise<string> {
  const { signingClass, fingerprint, subject, signal } = run;
  const variables = { PULP_SIGNING_KEY_FINGERPRINT: fingerprint, CORRELATION_ID: '', ...signingClass.variables(subject) };
  let printed: string;
  try {
    printed = await runProgram(script, [file], { cwd: subject.folder, variables, limitMs: LIMIT_MS, signal });
  } catch (error) {
    throw error instanceof ProgramError ? new SigningError(`${script} failed: ${error.message}`, { cause: error }) : error;
  }
  const path = answerOf(printed)?.[signingClass.signatureKey];
  if (typeof path !== 'string')
    throw new SigningError(`${script} has to print JSON with the path of the signature as "${signingClass.signatureKey}"`);
  return resolve(subject.folder, path);
}

function answerOf(printed: string): Record<string, unknown> | undefined {
  try {
    return answer.safeParse(JSON.parse(printed)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
