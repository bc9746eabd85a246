import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missing } from '../test/support/missing.ts';
import { apiReport, runApiBench } from './api-bench.ts';
import { COPY_TOOLS, CopySubject, REGISTRY_PROGRAM } from './copy-subject.ts';
import { BUILT, DECKLE_CREDENTIALS, DeckleSubject } from './deckle-subject.ts';
import { DistributionTarget } from './distribution-target.ts';
import { describeCommit, describeMachine } from './machine.ts';
import { brief, type Measurement } from './measurement.ts';
import { NginxTarget } from './nginx-target.ts';
import { type OrphansMeasurement, orphansReport, runOrphansBench } from './orphans-bench.ts';
import { OSTREE_WORKLOADS, type OstreeBenchOptions, runOstreeBench } from './ostree-bench.ts';
import { OstreeSubject } from './ostree-subject.ts';
import { BenchOstreeUpstream } from './ostree-upstream.ts';
import type { OstreeWorkload } from './ostree-upstream-process.ts';
import { OSTREE } from './pulp-api-subject.ts';
import { type PulpOptions, PulpSubject, pulpSession } from './pulp-subject.ts';
import { REGISTRY_WORKS, type RegistryWork, runRegistryBench } from './registry-bench.ts';
import { registryReport } from './registry-report.ts';
import { deckleBehindNginx, deckleTarget, pulpTarget, type RegistryTarget } from './registry-target.ts';
import { type RestTarget, restReport, runRestBench } from './rest-bench.ts';
import type { Subject } from './subject.ts';
import { runSyncBench, runVersionsBench } from './sync-bench.ts';
import { syncReport } from './sync-report.ts';
import { BenchUpstream } from './upstream.ts';
import { WORKLOADS, type WorkloadName } from './workload.ts';

const USAGE = `npm run bench -- [sync|versions|rest|registry|ostree|orphans|api ...] [options]

  sync       mirroring: first sync, no change, one changed tag, second repository
  versions   whether version 100 costs what version 2 does
  rest       requests a second of the REST API at 16 clients
  registry   pulls, tokens and pushes beside distribution and nginx
  ostree     mirroring of OSTree repositories beside \`ostree pull --mirror\`: first sync, no change, second repository
  orphans    orphan cleanup of 100,000 units, and what pulls feel of it
  api        latencies of the REST API's lists with 1,000 and 100,000 repositories and 1,000,000 content units
  (all but api and registry when none is named)

  --rounds N           rounds, 3 by default
  --quick              small sizes, one round: to see that it works
  --work a,b           workloads of sync: ${WORKLOADS.join(', ')}
  --ostree-work a,b    workloads of ostree: ${Object.keys(OSTREE_WORKLOADS).join(', ')}
  --registry-work N,N  works of registry by number: ${REGISTRY_WORKS.map((work, index) => `${index + 1} ${work}`).join('; ')}
  --registries a,b     what registry measures beside Deckle: distribution, nginx, and behind-nginx, which is Deckle behind the proxy of
                       docker-compose.yml; the first two by default
  --distribution FILE  the registry of distribution; \`registry\` on PATH by default, else Debian's \`${REGISTRY_PROGRAM}\`
  --beside NAME=FOLDER another build of Deckle (its dist/), measured beside this one by registry
  --subjects a,b       deckle, pulp, ${COPY_TOOLS.join(', ')}; deckle, crane and regsync by default
  --pulp               adds a Pulp that runs on this machine
  --pulp-url URL       where it is; or PULP_URL; http://127.0.0.1:24900 by default
  --pulp-user U:P      admin:password by default
  --pulp-processes RE  command lines of its processes; by default pulpcore-|postgres.*pulp
  --seconds N          seconds of load for each operation of rest and api, 5 by default
  --name NAME          bench/results/<date>-<name>.json
  --profile FOLDER     CPU profiles of Deckle's processes and threads; slows it down
  --keep               keep bench/work afterwards
`;

const PARTS = ['sync', 'versions', 'rest', 'registry', 'ostree', 'orphans', 'api'] as const;
const DEFAULT_PARTS: readonly string[] = PARTS.filter((part) => part !== 'api' && part !== 'registry');
const SIZES = [
  { repositories: 1_000, units: 1_000_000, inOne: 10_000 },
  { repositories: 100_000, units: 1_000_000, inOne: 10_000 },
];
const QUICK_SIZES = [
  { repositories: 50, units: 5_000, inOne: 1_000 },
  { repositories: 500, units: 5_000, inOne: 1_000 },
];
const HERE = fileURLToPath(new URL('.', import.meta.url));

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean' },
      rounds: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      work: { type: 'string', default: WORKLOADS.join(',') },
      'ostree-work': { type: 'string', default: Object.keys(OSTREE_WORKLOADS).join(',') },
      'registry-work': { type: 'string', default: REGISTRY_WORKS.map((_, index) => index + 1).join(',') },
      registries: { type: 'string', default: 'distribution,nginx' },
      distribution: { type: 'string' },
      beside: { type: 'string', multiple: true, default: [] },
      subjects: { type: 'string', default: 'deckle,crane,regsync' },
      pulp: { type: 'boolean', default: false },
      'pulp-url': { type: 'string', default: process.env.PULP_URL ?? 'http://127.0.0.1:24900' },
      'pulp-user': { type: 'string', default: 'admin:password' },
      'pulp-processes': { type: 'string', default: 'pulpcore-|postgres.*pulp' },
      seconds: { type: 'string', default: '5' },
      name: { type: 'string', default: 'bench' },
      profile: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const parts = positionals.length === 0 ? DEFAULT_PARTS : positionals;
  const unknown = parts.find((part) => !PARTS.some((known) => known === part));
  if (unknown !== undefined) throw new Error(`There is no bench called ${unknown}\n\n${USAGE}`);
  const [username = '', password = ''] = values['pulp-user'].split(':');
  const pulp = { origin: values['pulp-url'], username, password, processes: new RegExp(values['pulp-processes']) };
  const names = [...values.subjects.split(','), ...(values.pulp ? ['pulp'] : [])];
  const rounds = values.quick ? 1 : Number(values.rounds);
  const workloads = values.work.split(',').map(workloadName);

  const workFolder = join(HERE, 'work', String(Date.now()));
  mkdirSync(workFolder, { recursive: true });
  const upstream = await BenchUpstream.start();
  const results: Record<string, unknown> = {
    date: new Date().toISOString(),
    machine: describeMachine(),
    commit: describeCommit(),
    quick: values.quick,
    rounds,
  };
  const versions: Record<string, Record<string, string>> = {};
  Object.assign(results, { versions });
  const onVersions = (subject: string, its: Record<string, string>) => {
    versions[subject] = its;
  };
  const common = { upstream, rounds, quick: values.quick, onMeasured: announce, onVersions };
  try {
    const deckle = new DeckleSubject(workFolder, upstream.url, values.profile && resolve(values.profile));
    if (parts.includes('sync')) {
      const subjects = subjectsOf(names, deckle, pulp, workFolder, upstream);
      const measured = await runSyncBench({ ...common, subjects, workloads });
      Object.assign(results, { sync: measured });
      print(
        syncReport(
          measured,
          subjects.map((subject) => subject.name),
        ),
      );
    }
    if (parts.includes('versions')) {
      const measured = await runVersionsBench({ ...common, subjects: [], workloads: [] }, deckle, values.quick ? 30 : 100);
      Object.assign(results, { manyVersions: measured });
      print(syncReport(measured, ['deckle']));
    }
    if (parts.includes('rest')) {
      const measured = await rest(
        deckle,
        names.includes('pulp') ? pulp : null,
        common,
        values.quick ? 1 : Number(values.seconds),
      );
      Object.assign(results, { rest: measured });
      print(restReport(measured));
    }
    if (parts.includes('registry')) {
      const works = values['registry-work'].split(',').map(registryWork);
      const measured = await runRegistryBench(registries(workFolder, deckle, values.pulp ? pulp : null, values), {
        rounds,
        quick: values.quick,
        seconds: values.quick ? 1 : Number(values.seconds),
        works,
        onVersions,
        onMeasured: (one) => print(registryReport([one]).split('\n').at(-1) ?? ''),
      });
      Object.assign(results, { registry: measured });
      print(registryReport(measured));
    }
    if (parts.includes('api')) {
      const measured = await runApiBench({
        deckle,
        pulp: values.pulp ? pulp : null,
        workFolder,
        sizes: values.quick ? QUICK_SIZES : SIZES,
        seconds: values.quick ? 0.5 : Number(values.seconds),
        onMeasured: ({ subject, repositories, work, clients, p50, p99 }) =>
          print(`${subject} with ${repositories}, ${work}, ${clients} clients: p50 ${brief(p50)} ms, p99 ${brief(p99)} ms`),
      });
      Object.assign(results, { api: measured });
      print(apiReport(measured));
    }
    const withoutOstree = missing('ostree');
    if (parts.includes('ostree') && withoutOstree) print(`Without the OSTree bench: ${withoutOstree}`);
    else if (parts.includes('ostree')) {
      const works = (values.quick ? 'medium' : values['ostree-work']).split(',').map(ostreeWorkload);
      const profile = values.profile && resolve(values.profile);
      const measured = await ostreeBench(workFolder, values.pulp ? pulp : null, { ...common, works, profile });
      Object.assign(results, { ostree: measured });
      print(syncReport(measured, ['ostree', 'deckle', 'pulp']));
    }
    if (parts.includes('orphans')) {
      const measured = await orphans(deckle, names.includes('pulp') ? pulp : null, upstream, values.quick);
      Object.assign(results, { orphans: measured });
      print(orphansReport(measured));
    }
    print(`Numbers: ${writeResults(results, values.name)}`);
  } finally {
    upstream.stop();
    if (!values.keep) rmSync(workFolder, { recursive: true, force: true });
  }
}

function workloadName(text: string): WorkloadName {
  const found = WORKLOADS.find((name) => name === text);
  if (found === undefined) throw new Error(`There is no workload called ${text}; there are ${WORKLOADS.join(', ')}`);
  return found;
}

function ostreeWorkload(text: string): OstreeWorkload {
  if (text === 'medium' || text === 'large') return text;
  throw new Error(`There is no OSTree workload called ${text}; there are ${Object.keys(OSTREE_WORKLOADS).join(', ')}`);
}

function registryWork(number: string): RegistryWork {
  const work = REGISTRY_WORKS[Number(number) - 1];
  if (work === undefined) throw new Error(`There is no registry work ${number}\n\n${USAGE}`);
  return work;
}

/** What opens the registries that are asked for and are here. */
function registries(
  workFolder: string,
  deckle: DeckleSubject,
  pulp: PulpOptions | null,
  values: { readonly registries: string; readonly distribution?: string | undefined; readonly beside: readonly string[] },
): (() => Promise<RegistryTarget>)[] {
  const openers = [() => deckleTarget(deckle)];
  for (const build of values.beside) {
    const [name = '', dist = ''] = build.split('=');
    const beside = new DeckleSubject(workFolder, '', undefined, undefined, { name, dist: resolve(dist) });
    openers.push(() => deckleTarget(beside));
  }
  const names = values.registries.split(',');
  const program = values.distribution ?? ['registry', REGISTRY_PROGRAM].find((name) => !missing(name));
  if (program === undefined) print(`Without distribution: neither registry nor ${REGISTRY_PROGRAM} is on PATH`);
  else if (names.includes('distribution')) openers.push(() => DistributionTarget.open(program, workFolder));
  const withoutNginx = missing('nginx');
  if (withoutNginx) print(`Without nginx: ${withoutNginx}`);
  else {
    if (names.includes('behind-nginx')) {
      const behind = new DeckleSubject(workFolder, '', undefined, undefined, { name: 'deckle-behind-nginx', dist: BUILT });
      openers.push(() => deckleBehindNginx(behind, workFolder));
    }
    if (names.includes('nginx')) openers.push(() => NginxTarget.open('nginx', workFolder));
  }
  if (pulp) openers.push(() => pulpTarget(pulp, new PulpSubject(pulp, '')));
  return openers;
}

async function ostreeBench(
  workFolder: string,
  pulp: PulpOptions | null,
  {
    works,
    profile,
    ...options
  }: Omit<OstreeBenchOptions, 'upstream' | 'subjects' | 'workloads'> & {
    works: readonly OstreeWorkload[];
    profile: string | undefined;
  },
): Promise<Measurement[]> {
  const folder = join(workFolder, 'ostree');
  const served = join(folder, 'upstream');
  mkdirSync(served, { recursive: true });
  const upstream = await BenchOstreeUpstream.start(served);
  try {
    const subjects = [
      new OstreeSubject(folder, upstream.url),
      new DeckleSubject(folder, upstream.url, profile, OSTREE),
      ...(pulp ? [new PulpSubject(pulp, upstream.url, OSTREE)] : []),
    ];
    return await runOstreeBench({ ...options, upstream, subjects, workloads: works });
  } finally {
    upstream.stop();
  }
}

function subjectsOf(
  names: readonly string[],
  deckle: Subject,
  pulp: PulpOptions,
  workFolder: string,
  upstream: BenchUpstream,
): Subject[] {
  return names.flatMap((name): Subject[] => {
    if (name === 'deckle') return [deckle];
    if (name === 'pulp') return [new PulpSubject(pulp, upstream.url)];
    const tool = COPY_TOOLS.find((known) => known === name);
    if (tool === undefined) throw new Error(`There is no subject called ${name}\n\n${USAGE}`);
    const absent = missing(tool, REGISTRY_PROGRAM);
    if (absent === false) return [new CopySubject(tool, workFolder, upstream.host)];
    print(`Without ${tool}: ${absent}`);
    return [];
  });
}

async function rest(
  deckle: DeckleSubject,
  pulp: PulpOptions | null,
  { upstream, rounds, quick }: { upstream: BenchUpstream; rounds: number; quick: boolean },
  seconds: number,
) {
  const repositories = ['rest/content'];
  await upstream.ask({ call: 'publish', workload: 'tags', seed: `rest ${Date.now()}`, quick, repositories });
  await deckle.open('rest');
  const targets: RestTarget[] = [
    {
      name: 'deckle',
      origin: deckle.origin,
      api: deckle.api,
      group: deckle.group,
      lasting: false,
      credentials: [{ name: 'Basic', use: DECKLE_CREDENTIALS }],
    },
  ];
  const subject = pulp === null ? null : new PulpSubject(pulp, upstream.url);
  try {
    if (pulp !== null && subject !== null) {
      await subject.open();
      const { username, password } = pulp;
      const credentials = [
        { name: 'session', use: await pulpSession(pulp) },
        { name: 'Basic', use: { username, password } },
      ];
      targets.push({ name: 'pulp', origin: pulp.origin, api: subject.api, group: subject.group, lasting: true, credentials });
    }
    const onMeasured = ({
      subject: name,
      work,
      requestsPerSecond,
    }: {
      subject: string;
      work: string;
      requestsPerSecond: number;
    }) => print(`${name}, ${work}: ${brief(requestsPerSecond)}/s`);
    return await runRestBench(targets, 'rest/content', { rounds, seconds, onMeasured });
  } finally {
    await deckle.close();
    await subject?.close();
  }
}

async function orphans(
  deckle: DeckleSubject,
  pulp: PulpOptions | null,
  upstream: BenchUpstream,
  quick: boolean,
): Promise<OrphansMeasurement[]> {
  const measurements: OrphansMeasurement[] = [];
  await deckle.open('orphans');
  try {
    const target = { name: 'deckle', origin: deckle.origin, api: deckle.api, shared: false, repositories: quick ? 2 : 20 };
    measurements.push(await runOrphansBench(target, upstream, quick));
  } finally {
    await deckle.close();
  }
  if (pulp === null) return measurements;
  const subject = new PulpSubject(pulp, upstream.url);
  await subject.open();
  try {
    const target = { name: 'pulp', origin: pulp.origin, api: subject.api, shared: true, repositories: 1 };
    measurements.push(await runOrphansBench(target, upstream, quick));
  } finally {
    await subject.close();
  }
  return measurements;
}

function announce({ work, subject, round, seconds, cpuSeconds, wrong }: Measurement): void {
  print(
    `round ${round}, ${subject}, ${work}: ${brief(seconds)} s, CPU ${brief(cpuSeconds)} s${wrong === null ? '' : `, WRONG: ${wrong}`}`,
  );
}

function writeResults(results: object, name: string): string {
  const folder = join(HERE, 'results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${new Date().toISOString().slice(0, 10)}-${name}.json`);
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  return path;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
