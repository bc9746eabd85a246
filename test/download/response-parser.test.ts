import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MalformedResponseError, type ResponseHead, ResponseParser } from '../../src/download/response-parser.ts';

interface Parsed {
  readonly head: ResponseHead | undefined;
  readonly body: string;
  readonly done: boolean;
  readonly unused: number;
}

/** Feeds the text in pieces of `size` bytes, in one reused buffer, as a connection does. */
function parse(text: string, { size = text.length, ends = false } = {}): Parsed {
  let head: ResponseHead | undefined;
  let body = '';
  const parser = new ResponseParser({
    head: (one) => {
      head = one;
    },
    data: (part) => {
      body += part.toString('latin1');
    },
  });
  const bytes = Buffer.from(text, 'latin1');
  const buffer = Buffer.alloc(size);
  let at = 0;
  while (at < bytes.length && !parser.done) {
    const length = bytes.copy(buffer, 0, at, at + size);
    at += parser.feed(buffer.subarray(0, length));
    buffer.fill(0);
  }
  if (ends) parser.end();
  return { head, body, done: parser.done, unused: bytes.length - at };
}

const responses: Record<string, { text: string; status: number; body: string; keepAlive: boolean; ends?: boolean }> = {
  'Content-Length': { text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', status: 200, body: 'hello', keepAlive: true },
  'no body': { text: 'HTTP/1.1 204 No Content\r\n\r\n', status: 204, body: '', keepAlive: true },
  'length 0': { text: 'HTTP/1.1 307 \r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', status: 307, body: '', keepAlive: true },
  'equal lengths twice': {
    text: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi',
    status: 200,
    body: 'hi',
    keepAlive: true,
  },
  chunked: {
    text: 'HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: Chunked\r\n\r\n4;ext="1"\r\nwiki\r\n5\r\npedia\r\n0\r\nTrailer: x\r\n\r\n',
    status: 206,
    body: 'wikipedia',
    keepAlive: true,
  },
  'informational first': {
    text: 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:1\r\n\r\nx',
    status: 200,
    body: 'x',
    keepAlive: true,
  },
  'connection closes': {
    text: 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx',
    status: 200,
    body: 'x',
    keepAlive: false,
  },
  'until the end': { text: 'HTTP/1.1 200 OK\r\n\r\nto the end', status: 200, body: 'to the end', keepAlive: false, ends: true },
  'HTTP/1.0': { text: 'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx', status: 200, body: 'x', keepAlive: false },
  'bare line feeds': { text: 'HTTP/1.1 200 OK\nContent-Length: 1\n\nx', status: 200, body: 'x', keepAlive: true },
};

describe('responses, in pieces of every size (RFC 9112)', () => {
  for (const [name, { text, status, body, keepAlive, ends = false }] of Object.entries(responses)) {
    test(name, () => {
      for (let size = 1; size <= text.length; size += 1) {
        const parsed = parse(text, { size, ends });
        assert.deepEqual(
          { status: parsed.head?.status, body: parsed.body, keepAlive: parsed.head?.keepAlive, done: parsed.done },
          { status, body, keepAlive, done: true },
          `in pieces of ${size}`,
        );
      }
    });
  }

  test('headers of one name are joined, names are lower case', () => {
    const { head } = parse('HTTP/1.1 200 OK\r\nWWW-Authenticate: Basic realm="a"\r\nwww-authenticate:Bearer realm="b" \r\n\r\n');
    assert.equal(head?.headers['www-authenticate'], 'Basic realm="a", Bearer realm="b"');
  });

  test('bytes after the end are left', () => {
    assert.equal(parse('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1').unused, 8);
  });
});

describe('what is refused', () => {
  const malformed: Record<string, string> = {
    'not HTTP': 'SSH-2.0-OpenSSH\r\n\r\n',
    'HTTP/2': 'HTTP/2 200\r\n\r\n',
    'switching protocols': 'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    'both lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n',
    'negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    'length in words': 'HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n',
    'another coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'folded header': 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n',
    'space before colon': 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n',
    'chunk without size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
    'chunk too long': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n',
    'chunk size without end': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'0'.repeat(5000)}`,
    'headers of 64 KiB': `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(65_536)}\r\n\r\n`,
    '201 headers': `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(201)}\r\n`,
  };
  for (const [name, text] of Object.entries(malformed)) {
    test(name, () => assert.throws(() => parse(text), MalformedResponseError));
  }

  for (const [name, { text, ends = false }] of Object.entries(responses)) {
    if (ends) continue;
    test(`an early end: ${name}`, () => {
      for (let cut = 1; cut < text.length; cut += 1) {
        assert.throws(() => parse(text.slice(0, cut), { ends: true }), MalformedResponseError, `after ${cut} bytes`);
      }
    });
  }
});
