import type { Fields } from '../../kit/define-resource.ts';
import { bool } from '../../kit/wire.ts';

/** The body of both repairs. */
export const VERIFY_CHECKSUMS: Fields = {
  verify_checksums: {
    wire: bool(),
    default: true,
    description: 'Whether the bytes are read and compared with their checksum, and not only looked for.',
  },
};
