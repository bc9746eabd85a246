import type { SigningClass } from '../../kit/signing-class.ts';

/** Signs any file; its script prints `{"file": …, "signature": …}`. */
export const asciiArmoredDetached: SigningClass = {
  name: 'core:AsciiArmoredDetachedSigningService',
  sample: 'A file that a signing service is tried with.\n',
  variables: () => ({}),
  signatureKey: 'signature',
  detached: true,
};
