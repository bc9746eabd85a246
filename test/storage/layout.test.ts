import assert from 'node:assert/strict';
import test from 'node:test';
import { artifactKey, checkKey } from '../../src/storage/layout.ts';

const HEX = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

test("an artifact lies where Pulp's does", () => {
  assert.equal(artifactKey(HEX), `artifact/ba/${HEX.slice(2)}`);
  checkKey(artifactKey(HEX));
});

for (const hex of ['', HEX.toUpperCase(), HEX.slice(1), `${HEX}0`, `${HEX}\n`, `sha256:${HEX}`, `../${HEX.slice(3)}`]) {
  test(`no key is made of ${JSON.stringify(hex)}`, () => {
    assert.throws(() => artifactKey(hex), RangeError);
  });
}
