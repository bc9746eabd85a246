// node --import tsx scripts/prune-deviations.ts: takes the lines out of openapi/deviations.json that are no longer needed.
// It never adds one.
import { writeFileSync } from 'node:fs';
import { differences, operationsIn } from '../test/contract/compare.ts';
import { contractOperations, DEVIATIONS_FILE, NOT_OFFERED, ourDocument, readDeviations } from '../test/contract/documents.ts';

const contract = contractOperations();
const offered = operationsIn(ourDocument());

const isNeeded = ([operationId, reason]: [operationId: string, reason: string]): boolean => {
  const expected = contract.get(operationId);
  const actual = offered.get(operationId);
  if (!expected) return false;
  return reason === NOT_OFFERED ? !actual : actual === undefined || differences(expected, actual).length > 0;
};

const before = Object.entries(readDeviations());
const after = before.filter(isNeeded).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(DEVIATIONS_FILE, `${JSON.stringify(Object.fromEntries(after), null, 2)}\n`);
console.log(`${before.length - after.length} lines taken out, ${after.length} left`);
