import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/** The registry that a suite is let loose on, and as whom. */
export interface SuiteTarget {
  /** `host:port`, without TLS. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
}

/** What there is to pull for a suite that may not push. */
export interface PublicImage {
  readonly name: string;
  readonly tag: string;
  readonly manifest: string;
  readonly blob: string;
}

export interface SuiteCase {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
}

/** How a run ended, case by case, as its JUnit report says; `output` is what it printed. */
export interface SuiteRun {
  readonly cases: readonly SuiteCase[];
  readonly output: string;
}

/**
 * Cases that may be left out. The suite of v1.1 has some for what is given by its environment, and for a registry that mounts without
 * `from`, as the specification allows; the newest one counts a range that ends before it begins as left out when it is ignored, as
 * RFC 9110, 14.2, allows.
 */
const OPTIONAL = [
  /Get tag name from environment$/,
  /Populate registry with test tags \(no push\)$/,
  /Cross-mounting of nonexistent blob should yield session id$/,
  /Cross-mounting without from, and automatic content discovery enabled should return a 201$/,
  /\/mount anonymous\/blob-mount-anonymous$/,
  /\/range requests\/range 500-0$/,
];

const TIMEOUT_MS = 120_000;

/** `conformance.test` is the suite up to v1.1, whose settings are of other names. */
const isOfTests = (program: string): boolean => basename(program).endsWith('.test');

/** Whether the suite can do without pushes: the newest one cannot report on a registry that it may not push to. */
export const pullsAlone = isOfTests;

/** Runs all workflows of a suite of the OCI distribution-spec: pull, push, content discovery and content management. */
export function runSuite(program: string, { host, username, password }: SuiteTarget): Promise<SuiteRun> {
  const login = { OCI_USERNAME: username, OCI_PASSWORD: password };
  return isOfTests(program)
    ? runWith(program, 'OCI_REPORT_DIR', {
        ...login,
        OCI_ROOT_URL: `http://${host}`,
        OCI_NAMESPACE: 'conformance/v1',
        OCI_CROSSMOUNT_NAMESPACE: 'conformance/v1-mounted',
        OCI_AUTOMATIC_CROSSMOUNT: '0',
        OCI_TEST_PULL: '1',
        OCI_TEST_PUSH: '1',
        OCI_TEST_CONTENT_DISCOVERY: '1',
        OCI_TEST_CONTENT_MANAGEMENT: '1',
      })
    : runWith(program, 'OCI_RESULTS_DIR', {
        ...login,
        OCI_REGISTRY: host,
        OCI_TLS: 'disabled',
        OCI_REPO1: 'conformance/dev',
        OCI_REPO2: 'conformance/dev-mounted',
        // What the next version of the specification has is on too.
        OCI_VERSION: 'dev',
      });
}

/** What is about pulls alone: their own setup and teardown push. */
const PULL = /^OCI Distribution Conformance Tests Pull (?!Setup |Teardown )/;

/** Runs the pull workflow without credentials, by a suite that `pullsAlone`; cases of other workflows are not told of. */
export async function runAnonymousPulls(program: string, host: string, image: PublicImage): Promise<SuiteRun> {
  const { cases, output } = await runWith(program, 'OCI_REPORT_DIR', {
    OCI_ROOT_URL: `http://${host}`,
    OCI_NAMESPACE: image.name,
    OCI_TAG_NAME: image.tag,
    OCI_MANIFEST_DIGEST: image.manifest,
    OCI_BLOB_DIGEST: image.blob,
    OCI_TEST_PULL: '1',
  });
  return { cases: cases.filter(({ name }) => PULL.test(name)), output };
}

/** Cases that did not pass and may not be left out. */
export const shortcomings = ({ cases }: SuiteRun): readonly SuiteCase[] =>
  cases.filter(
    ({ name, outcome }) => outcome === 'failed' || (outcome === 'skipped' && !OPTIONAL.some((pattern) => pattern.test(name))),
  );

async function runWith(program: string, reports: string, settings: Readonly<Record<string, string>>): Promise<SuiteRun> {
  const folder = await mkdtemp(join(tmpdir(), 'deckle-conformance-'));
  try {
    const env = { PATH: process.env.PATH, HOME: folder, ...settings, [reports]: folder };
    const output = await new Promise<string>((resolve, reject) => {
      execFile(program, [], { cwd: folder, env, timeout: TIMEOUT_MS, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
        // Its exit status says no more than the report; what kept it from running is a word, and a signal ended it.
        if (error && typeof error.code !== 'number') reject(error);
        else resolve(`${stdout}${stderr}`);
      });
    });
    return { cases: casesOf(await readFile(join(folder, 'junit.xml'), 'utf8')), output };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const CASE = /<testcase name="([^"]*)"[^>]* status="(\w+)"/g;

/** Throws where the report lists none. The suite up to v1.1 lists the writing of a report too. */
function casesOf(report: string): SuiteCase[] {
  const cases = [...report.matchAll(CASE)]
    .map(([, name = '', status = '']) => ({ name: unescaped(name), outcome: outcomeOf(status) }))
    .filter(({ name }) => name !== 'html custom reporter');
  if (cases.length === 0) throw new Error('the report of the suite has no case');
  return cases;
}

function outcomeOf(status: string): SuiteCase['outcome'] {
  if (status === 'passed' || status === 'skipped') return status;
  return 'failed';
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#34': '"', '#39': "'" };

const unescaped = (text: string): string => text.replace(/&([#\w]+);/g, (entity, name: string) => ENTITIES[name] ?? entity);
