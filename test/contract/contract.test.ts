import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, operationsIn } from './compare.ts';
import { contractOperations, NOT_OFFERED, ourDocument, readDeviations, readExtensions } from './documents.ts';

const contract = contractOperations();
const offered = operationsIn(ourDocument());
const deviations = readDeviations();
const extensions = readExtensions();

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
  const more = [...offered.keys()].filter((operationId) => !contract.has(operationId) && !Object.hasOwn(extensions, operationId));
  assert.deepEqual(more, []);
});

test('what is listed as our own is offered', () => {
  assert.deepEqual(
    Object.keys(extensions).filter((operationId) => !offered.has(operationId) || contract.has(operationId)),
    [],
  );
});

test('deviations are of operations of the contract', () => {
  assert.deepEqual(
    Object.keys(deviations).filter((operationId) => !contract.has(operationId)),
    [],
  );
});

test('deviations and extensions have a reason each, and are in order', () => {
  for (const list of [deviations, extensions]) {
    assert.deepEqual(
      Object.entries(list).filter(([, reason]) => reason.trim() === ''),
      [],
    );
    assert.deepEqual(Object.keys(list), Object.keys(list).sort());
  }
});
