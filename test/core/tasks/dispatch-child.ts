// Dispatches, all at once, the tasks of a list: `[exclusive, shared][]`. Says the ids when all are in.
import { openRig, type RigUrls } from './rig.ts';
import { work } from './test-tasks.ts';

const rig = await openRig(JSON.parse(process.argv[2] ?? '') as RigUrls);
const wanted = JSON.parse(process.argv[3] ?? '') as (readonly [string[], string[]])[];
const ids = await Promise.all(
  wanted.map(([exclusive, shared]) => rig.dispatch(work, { milliseconds: 3 }, { exclusive, shared })),
);
process.send?.(ids);
await rig.close();
process.exit(0);
