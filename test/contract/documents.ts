import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { catalogOf, documentedOperations } from '../../src/kit/catalog.ts';
import { openApiDocument } from '../../src/kit/openapi.ts';
import { plugins } from '../../src/plugins.ts';
import { type ApiDocument, type OperationFacts, operationsIn } from './compare.ts';

const folder = join(import.meta.dirname, '..', '..', 'openapi');
export const DEVIATIONS_FILE = join(folder, 'deviations.json');

/** The reason of operations that Deckle does not have; any other reason is of one that it has, and that differs. */
export const NOT_OFFERED = 'Not offered yet.';

const documentSchema = z.object({
  paths: z.record(z.string(), z.record(z.string(), z.unknown())),
  components: z.object({ schemas: z.record(z.string(), z.record(z.string(), z.unknown())) }),
});

const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));

/** The operations of Pulp's document. */
export const contractOperations = (): Map<string, OperationFacts> =>
  operationsIn(documentSchema.parse(readJson(join(folder, 'pulp-api.json'))));

/** Deckle's document, made of what the plugins declare. */
export function ourDocument(): ApiDocument {
  const catalog = catalogOf(plugins);
  // As a client gets it: over JSON, where a field that is undefined is not there.
  const text = JSON.stringify(openApiDocument(documentedOperations(catalog), { version: '0', appVersions: catalog.versions }));
  return documentSchema.parse(JSON.parse(text));
}

const readReasons = (file: string): Record<string, string> => z.record(z.string(), z.string()).parse(readJson(file));

/** operationId -> why it is not as the contract has it. */
export const readDeviations = (): Record<string, string> => readReasons(DEVIATIONS_FILE);

/** operationId -> why there is an operation that the contract does not have. */
export const readExtensions = (): Record<string, string> => readReasons(join(folder, 'extensions.json'));
