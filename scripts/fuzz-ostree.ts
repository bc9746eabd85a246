// npm run fuzz:ostree -- [--seconds 60 | --cases N] [--seed N]: feeds changed objects to the parsers of the OSTree formats.
// The seed is printed: the same seed gives the same cases.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzz } from '../test/ostree/format/fuzz.ts';

const DEFAULT_SECONDS = 60;

const { values } = parseArgs({ options: { seconds: { type: 'string' }, cases: { type: 'string' }, seed: { type: 'string' } } });
const numberOf = (text: string | undefined, option: string): number | undefined => {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,10}$/.test(text)) throw new Error(`--${option} is a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
};

const seed = numberOf(values.seed, 'seed') ?? randomInt(2 ** 31);
const most = numberOf(values.cases, 'cases');
const seconds = numberOf(values.seconds, 'seconds') ?? DEFAULT_SECONDS;
console.log(`seed ${seed}, ${most === undefined ? `${seconds} seconds` : `${most} cases`}`);
const end = Date.now() + seconds * 1000;
const report = await fuzz({ seed, goOn: (cases) => (most === undefined ? Date.now() < end : cases < most) });
console.log(
  `${report.cases} cases, ${report.refused} refused, slowest ${report.slowestMs.toFixed(1)} ms, ` +
    `${report.keptBytes} bytes more kept, ${report.peakBytes} bytes more at the peak`,
);
