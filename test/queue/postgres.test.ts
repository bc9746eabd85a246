import { after, before } from 'node:test';
import { pino } from 'pino';
import { openQueue } from '../../src/queue/bullmq.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { queueConformance } from './conformance.ts';

let database: TestDatabase;
before(async () => {
  database = await createDatabase({ migrated: false });
});
after(() => database?.drop());

queueConformance(() => ({
  open: () => openQueue({ database: database.url }, pino({ level: 'fatal' })),
  connected: undefined,
}));
