import { z } from 'zod';

/*
 * What is in the folder of one backup:
 *
 *   backup.json           this description
 *   SHA256SUMS            of all the files but those below media/; `sha256sum -c SHA256SUMS` takes it too
 *   database/NAME.copy.gz a table, as text of COPY
 *   files.tsv             sha256 and size of each stored file, in the order of the first
 *   media/artifact/…      the stored files, as DATA_DIR/media has them; those that the backup before has too are the same file (hard links)
 *   keys/…                the keys, where they are not left out
 */
export const DESCRIPTION = 'backup.json';
export const SUMS = 'SHA256SUMS';
export const FILES = 'files.tsv';
export const MEDIA = 'media';
export const KEYS = 'keys';

/** Version of this form. */
export const FORM = 1;

const name = z.string().regex(/^[a-z_][a-z0-9_]*$/);

export const descriptionSchema = z.strictObject({
  form: z.literal(FORM),
  deckle: z.string(),
  /** When the database was read. */
  taken: z.iso.datetime(),
  migrations: z.array(z.strictObject({ name: z.string(), checksum: z.string() })).min(1),
  tables: z.array(z.strictObject({ name, columns: z.array(name), rows: z.int().min(0) })),
  sequences: z.array(z.strictObject({ name, last: z.int() })),
  files: z.strictObject({
    count: z.int().min(0),
    bytes: z.int().min(0),
    /** Sha256 of the files that the storage did not have, or not whole, when the backup was made. */
    lacking: z.array(z.string()),
  }),
  keys: z.enum(['included', 'left out', 'included, but for DECKLE_SECRET_KEYS']),
});

export type Description = z.output<typeof descriptionSchema>;

/** Where a table is, relative to the backup. */
export const tableFile = (table: string): string => `database/${table}.copy.gz`;
