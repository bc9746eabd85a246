import assert from 'node:assert/strict';
import test from 'node:test';
import { batches } from '../../src/lib/batches.ts';

test('an array is cut into pieces of one size; the last has what is left', () => {
  assert.deepEqual([...batches([1, 2, 3, 4, 5], 2)], [[1, 2], [3, 4], [5]]);
  assert.deepEqual(
    [...batches([1, 2, 3, 4], 2)],
    [
      [1, 2],
      [3, 4],
    ],
  );
  assert.deepEqual([...batches([1], 2)], [[1]]);
  assert.deepEqual([...batches([], 2)], []);
});
