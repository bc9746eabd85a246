import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missing } from '../support/missing.ts';
import { fuzzApi, SCHEMATHESIS } from './schemathesis.ts';

const SEEDS = [1, 2, 3];
const SECONDS = 20;

// `npm run fuzz:api` does the same for longer.
describe('schemathesis over the OpenAPI document', { skip: missing(SCHEMATHESIS) }, () => {
  it('finds no answer that is not documented', async () => {
    const found = await fuzzApi(SEEDS, SECONDS);
    assert.deepEqual(
      found.filter(({ clean }) => !clean).map(({ seed, report }) => `seed ${seed}\n${report}`),
      [],
    );
    for (const { report } of found) assert.match(report, /Test cases:\s+\d{2,} generated/);
  });
});
