/** Of who changes the schema; Prisma Migrate takes it too. */
export const MIGRATION_LOCK = 72707369;

/** Of the one backup that may run. While it is held, no stored file is removed. */
export const BACKUP_LOCK = 72707370;
