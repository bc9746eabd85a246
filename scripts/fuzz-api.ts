// npm run fuzz:api -- [--seconds 60] [--seeds 1,2,3]: schemathesis over the server's own OpenAPI document, so many seconds a seed.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzzApi, SCHEMATHESIS } from '../test/http/schemathesis.ts';
import { missing } from '../test/support/missing.ts';
import { keepPostgres } from '../test/support/postgres.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seeds: { type: 'string' } } });
const wholeNumber = (text: string): number => {
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`a whole number is wanted, not ${JSON.stringify(text)}`);
  return Number(text);
};

const absent = missing(SCHEMATHESIS);
if (absent) throw new Error(`${absent}: it is the program of schemathesis, which pip installs`);
const seeds = values.seeds?.split(',').map(wholeNumber) ?? [randomInt(2 ** 30)];
const leave = await keepPostgres();
const all = await fuzzApi(seeds, wholeNumber(values.seconds), ({ seed, report }) => console.log(`seed ${seed}\n${report}`));
await leave();
const unclean = all.filter(({ clean }) => !clean).map(({ seed }) => seed);
console.log(unclean.length === 0 ? 'nothing was found' : `something was found with seed ${unclean.join(', ')}`);
process.exitCode = unclean.length === 0 ? 0 : 1;
