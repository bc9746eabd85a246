import { defineConfig } from 'prisma/config';

// The CLI would download a native engine for every command, also for `generate`, which needs none. Naming this
// executable stops that, and lets `migrate dev` and `migrate diff` work offline as well.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= new URL('./scripts/schema-engine.mjs', import.meta.url).pathname;

export default defineConfig({
  schema: 'prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env.DATABASE_URL ?? 'postgresql://deckle:deckle@127.0.0.1:5432/deckle' },
});
