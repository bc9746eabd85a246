import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { SigningClass } from '../../kit/signing-class.ts';
import { SigningError } from './signing-error.ts';

const LIMIT_MS = 60_000;
const LONGEST_ANSWER = 64 * 1024;

const answer = z.record(z.string(), z.unknown());

/**
 * Has a script sign a file, in `folder`, which its files are for; answers the path of the signature. The script is given the file's
 * path, and in PULP_SIGNING_KEY_FINGERPRINT the key to sign with; it prints JSON. Throws SigningError where it does not do so within
 * a minute.
 */
export async function runSigningScript(
  script: string,
  file: string,
  {
    signingClass,
    fingerprint,
    folder,
  }: { readonly signingClass: SigningClass; readonly fingerprint: string; readonly folder: string },
): Promise<string> {
  const variables = { PULP_SIGNING_KEY_FINGERPRINT: fingerprint, CORRELATION_ID: '', ...signingClass.variables(folder) };
  const printed = await run(script, file, { variables, folder });
  const path = answerOf(printed)?.[signingClass.signatureKey];
  if (typeof path !== 'string')
    throw new SigningError(`${script} has to print JSON with the path of the signature as "${signingClass.signatureKey}"`);
  return resolve(folder, path);
}

function answerOf(printed: string): Record<string, unknown> | undefined {
  try {
    return answer.safeParse(JSON.parse(printed)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function run(
  script: string,
  file: string,
  { variables, folder }: { readonly variables: Readonly<Record<string, string>>; readonly folder: string },
): Promise<string> {
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  // Through a shell, so that `env` does not take a path with a "=" for a further variable.
  const command = [...assignments, 'sh', '-c', 'exec "$0" "$1"', script, file];
  return new Promise((done, failed) => {
    execFile('env', command, { cwd: folder, timeout: LIMIT_MS, maxBuffer: LONGEST_ANSWER }, (error, stdout, stderr) => {
      if (!error) done(stdout);
      else {
        const reason = error.killed
          ? `it did not end within ${LIMIT_MS / 1000} s, or printed too much`
          : stderr.trim() || error.message;
        failed(new SigningError(`${script} failed: ${reason}`, { cause: error }));
      }
    });
  });
}
