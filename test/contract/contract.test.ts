import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, operationsIn } from './compare.ts';
import { contractOperations, NOT_OFFERED, ourDocument, readDeviations } from './documents.ts';

/** Operations that Pulp does not have and Deckle adds. */
const DECKLES_OWN: ReadonlySet<string> = new Set<string>(['readyz_read']);

const contract = contractOperations();
const offered = operationsIn(ourDocument());
const deviations = readDeviations();

for (const [operationId, expected] of contract) {
  test(operationId, () => {
    const reason = deviations[operationId];
    const actual = offered.get(operationId);
    if (reason === NOT_OFFERED) {
      assert.ok(!actual, `${operationId} is offered: its line in openapi/deviations.json has to go`);
      return;
    }
    assert.ok(actual, `${operationId} is not offered, and openapi/deviations.json does not say so`);
    const found = differences(expected, actual);
    if (reason === undefined) assert.deepEqual(found, []);
    else assert.notDeepEqual(found, [], `${operationId} does not differ: its line in openapi/deviations.json has to go`);
  });
}

test('nothing is offered that the contract does not have', () => {
  const more = [...offered.keys()].filter((operationId) => !contract.has(operationId) && !DECKLES_OWN.has(operationId));
  assert.deepEqual(more, []);
});

test('what is listed as our own is offered', () => {
  assert.deepEqual(
    [...DECKLES_OWN].filter((operationId) => !offered.has(operationId)),
    [],
  );
});

test('deviations are of operations of the contract, each with a reason, in order', () => {
  const names = Object.keys(deviations);
  assert.deepEqual(
    names.filter((operationId) => !contract.has(operationId)),
    [],
  );
  assert.deepEqual(
    names.filter((operationId) => deviations[operationId]?.trim() === ''),
    [],
  );
  assert.deepEqual(names, [...names].sort());
});
