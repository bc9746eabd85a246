import { join } from 'node:path';
import type { SigningClass } from '../../../kit/signing-class.ts';

const SAMPLE = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
    size: 2,
  },
  layers: [],
};

/**
 * Signs manifests of images; its script is told the image's name in `REFERENCE`, writes a signed message to `SIG_PATH` and prints
 * `{"signature_path": …}`.
 */
export const manifestSigning: SigningClass = {
  name: 'container:ManifestSigningService',
  sample: JSON.stringify(SAMPLE),
  variables: ({ folder, name }) => ({ REFERENCE: name, SIG_PATH: join(folder, 'signature') }),
  signatureKey: 'signature_path',
  detached: false,
};
