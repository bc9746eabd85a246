import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rateLimiter, retryAfterMs, withRetries } from '../../src/download/retry.ts';
import { UpstreamError, type UpstreamErrorFacts, type UpstreamErrorKind } from '../../src/download/upstream-error.ts';

const NOW = Date.parse('2026-11-20T12:00:00Z');

describe('Retry-After (RFC 9110 10.2.3, and a Unix time as Docker Hub sends it)', () => {
  const cases: readonly (readonly [text: string, ms: number | undefined])[] = [
    ['0', 0],
    ['120', 120_000],
    [' 1.5 ', 1500],
    ['Fri, 20 Nov 2026 12:00:30 GMT', 30_000],
    ['Fri, 20 Nov 2026 11:00:00 GMT', 0],
    [String(NOW / 1000 + 60), 60_000],
    [String(NOW / 1000 - 60), 0],
    ['soon', undefined],
    ['-5', undefined],
    ['', undefined],
  ];
  for (const [text, ms] of cases) test(JSON.stringify(text), () => assert.equal(retryAfterMs(text, NOW), ms));
});

const failing = (kind: UpstreamErrorKind, facts: UpstreamErrorFacts = {}) => {
  const calls = { count: 0 };
  const attempt = async (): Promise<never> => {
    calls.count += 1;
    throw new UpstreamError(kind, 'http://h/', 'failed', { retryAfter: '0', ...facts });
  };
  return { calls, attempt };
};

describe('tries', () => {
  const cases: readonly (readonly [UpstreamErrorKind, number | undefined, tries: number])[] = [
    ['status', 429, 3],
    ['status', 500, 3],
    ['status', 502, 3],
    ['status', 503, 3],
    ['status', 504, 3],
    ['status', 400, 1],
    ['status', 401, 1],
    ['status', 403, 1],
    ['status', 404, 1],
    ['status', 501, 1],
    ['refused', undefined, 3],
    ['dns', undefined, 3],
    ['connection', undefined, 3],
    ['timeout', undefined, 3],
    ['truncated', undefined, 3],
    ['size', undefined, 3],
    ['checksum', undefined, 3],
    ['tls', undefined, 1],
    ['too-large', undefined, 1],
    ['redirect', undefined, 1],
    ['forbidden-address', undefined, 1],
    ['protocol', undefined, 1],
  ];
  for (const [kind, status, tries] of cases) {
    test(`${kind} ${status ?? ''}: ${tries} of 3`, async () => {
      const { calls, attempt } = failing(kind, { status });
      await assert.rejects(withRetries({ tries: 3, onRetry: () => undefined }, attempt), { kind });
      assert.equal(calls.count, tries);
    });
  }

  test('a wait of more than 300 s is not waited for', async () => {
    const { calls, attempt } = failing('status', { status: 429, retryAfter: '301' });
    await assert.rejects(withRetries({ tries: 3, onRetry: () => undefined }, attempt), { status: 429 });
    assert.equal(calls.count, 1);
  });

  test('without Retry-After the waits double, with jitter', async () => {
    const waits: number[] = [];
    const { attempt } = failing('connection', { retryAfter: undefined });
    const controller = new AbortController();
    const options = {
      tries: 9,
      signal: controller.signal,
      onRetry: (_: Error, retry: number, wait: number) => {
        waits.push(wait);
        if (retry === 2) controller.abort(new Error('enough'));
      },
    };
    await assert.rejects(withRetries(options, attempt), /enough/);
    assert.equal(waits.length, 2);
    const [first = 0, second = 0] = waits;
    assert.ok(first >= 200 && first <= 400, `first wait ${first}`);
    assert.ok(second >= 400 && second <= 800, `second wait ${second}`);
  });
});

test('rate_limit spaces requests; null, 0 and less do not', async () => {
  for (const none of [null, 0, -1]) assert.equal(rateLimiter(none)(), undefined);
  const turn = rateLimiter(50);
  const started = Date.now();
  for (let count = 0; count < 6; count += 1) await turn();
  const took = Date.now() - started;
  assert.ok(took >= 95, `six requests at 50 a second took ${took} ms`);
});
