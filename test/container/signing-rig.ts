import { addSigningService } from '../../src/core/signing/signing-services.ts';
import { manifestSigning } from '../../src/plugins/container/resources/manifest-signing.ts';
import type { TestApp } from '../support/app.ts';
import type { SigningKey } from '../support/signing-key.ts';
import { RegistryUser } from './push-rig.ts';

export const REPOSITORIES = '/pulp/api/v3/repositories/container/container/';
export const DISTRIBUTIONS = '/pulp/api/v3/distributions/container/container/';
export const SIGNATURES = '/pulp/api/v3/content/container/signatures/';

/** What a script does that signs manifests as Pulp's documentation has it. */
export const standaloneSign = ({ home }: SigningKey): string =>
  `GNUPGHOME='${home}' skopeo standalone-sign "$1" "$REFERENCE" "$PULP_SIGNING_KEY_FINGERPRINT" --output "$SIG_PATH" >&2 && ` +
  'echo "{\\"signature_path\\": \\"$SIG_PATH\\"}"';

/** Registers a signing service whose script does this; answers its path in the API. */
export async function signingServiceOf(app: TestApp, key: SigningKey, name: string, body: string): Promise<string> {
  const script = await key.script(`${name}.sh`, body);
  await addSigningService(app.services.db, {
    name,
    script,
    signingClass: manifestSigning,
    key: key.fingerprint,
    place: { home: key.home },
  });
  const { body: page } = await app.request('GET', `/pulp/api/v3/signing-services/?name=${name}`);
  return page.results[0].pulp_href;
}

/** The administrator as a client of the registry. */
export const registryUser = (app: TestApp): RegistryUser =>
  new RegistryUser(
    { origin: app.url, host: new URL(app.services.config.PULP_CONTENT_ORIGIN).host },
    { username: 'admin', password: 'password' },
  );

/** The repository of a name. */
export async function repositoryOf(app: TestApp, name: string): Promise<TestAnswer> {
  const { body } = await app.request('GET', `${REPOSITORIES}?name=${encodeURIComponent(name)}`);
  return body.results[0];
}

type TestAnswer = Awaited<ReturnType<TestApp['request']>>['body'];
