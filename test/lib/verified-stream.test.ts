import assert from 'node:assert/strict';
import test from 'node:test';
import { digestOf } from '../../src/lib/digest.ts';
import {
  checkedStream,
  DigestMismatchError,
  type Expectation,
  SizeMismatchError,
  verifiedStream,
} from '../../src/lib/verified-stream.ts';

const CHUNKS = ['one ', 'two ', 'three'];
const WHOLE = Buffer.from(CHUNKS.join(''));

async function* source(chunks: readonly string[] = CHUNKS): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

/** What comes out before the end or the error, and the error. */
async function drain(expected: Expectation, chunks = CHUNKS): Promise<{ text: string; error: unknown }> {
  let text = '';
  try {
    for await (const chunk of verifiedStream(source(chunks), expected)) text += Buffer.from(chunk).toString();
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

test('passes bytes that match', async () => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const outcome = await drain({ digest: digestOf(WHOLE, algorithm), size: WHOLE.length });
    assert.deepEqual(outcome, { text: WHOLE.toString(), error: undefined });
  }
});

test('answers digest and size where nothing was expected', async () => {
  const stream = verifiedStream(source(), {});
  let step = await stream.next();
  while (!step.done) step = await stream.next();
  assert.deepEqual(step.value, { digest: digestOf(WHOLE), size: WHOLE.length });
});

test('an empty body is verified too', async () => {
  assert.deepEqual(await drain({ digest: digestOf(Buffer.alloc(0)), size: 0 }, []), { text: '', error: undefined });
  assert.ok((await drain({ digest: digestOf(WHOLE) }, [])).error instanceof DigestMismatchError);
});

test('keeps the last chunk back when the digest is another', async () => {
  const expected = digestOf(Buffer.from('other'));
  const { text, error } = await drain({ digest: expected });
  assert.equal(text, 'one two ');
  assert.ok(error instanceof DigestMismatchError);
  assert.equal(error.expected, expected);
  assert.equal(error.actual, digestOf(WHOLE));
});

test('keeps the last chunk back when bytes are missing', async () => {
  const { text, error } = await drain({ size: WHOLE.length + 1 });
  assert.equal(text, 'one two ');
  assert.ok(error instanceof SizeMismatchError);
  assert.equal(error.expected, WHOLE.length + 1);
  assert.equal(error.actual, WHOLE.length);
});

test('ends at the first byte too many, without reading on', async () => {
  let read = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      read += 1;
      yield Buffer.alloc(10);
    }
  }
  await assert.rejects(async () => {
    let passed = 0;
    for await (const chunk of verifiedStream(endless(), { size: 25 })) passed += chunk.length;
    assert.fail(`${passed} bytes passed`);
  }, SizeMismatchError);
  assert.equal(read, 3);
});

test('the error of the source is passed on', async () => {
  const cause = new Error('connection reset');
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a');
    throw cause;
  }
  await assert.rejects(async () => {
    for await (const chunk of verifiedStream(broken(), { size: 5 })) assert.fail(`let go of ${chunk.length} bytes`);
  }, cause);
});

/** What a check is asked, in order. */
function recordingCheck(answer: () => Promise<string> | string) {
  const asked: string[] = [];
  return {
    asked,
    update: async (chunk: Uint8Array) => void asked.push(Buffer.from(chunk).toString()),
    finish: () => {
      asked.push('finish');
      return answer();
    },
    destroy: () => void asked.push('destroy'),
  };
}

test('any check may prove the bytes; the last chunk waits for it', async () => {
  const check = recordingCheck(async () => 'proven');
  const stream = checkedStream(source(), check);
  const passed: string[] = [];
  let step = await stream.next();
  for (; !step.done; step = await stream.next()) {
    passed.push(Buffer.from(step.value).toString());
    if (passed.length === CHUNKS.length) assert.equal(check.asked.at(-1), 'finish');
  }
  assert.deepEqual(passed, CHUNKS);
  assert.equal(step.value, 'proven');
  assert.deepEqual(check.asked, [...CHUNKS, 'finish']);
});

test('a check that refuses keeps the last chunk back, and lets go of what it holds', async () => {
  const check = recordingCheck(() => {
    throw new Error('wrong bytes');
  });
  let text = '';
  await assert.rejects(async () => {
    for await (const chunk of checkedStream(source(), check)) text += Buffer.from(chunk).toString();
  }, /wrong bytes/);
  assert.equal(text, 'one two ');
  assert.equal(check.asked.at(-1), 'destroy');
});

test('a reader that leaves ends the check', async () => {
  const check = recordingCheck(() => 'proven');
  for await (const _chunk of checkedStream(source(), check)) break;
  assert.equal(check.asked.at(-1), 'destroy');
});
