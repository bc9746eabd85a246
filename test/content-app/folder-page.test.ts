import assert from 'node:assert/strict';
import test from 'node:test';
import { folderPage } from '../../src/content-app/folder-page.ts';

test('a folder is a page of relative links, with what is known of each entry', () => {
  const page = folderPage('/pulp/content/os/', {
    entries: [{ name: 'config', size: 58, modified: '2026-11-21T06:51:18.123456Z' }, { name: 'objects/' }],
    more: false,
  });
  assert.match(page, /<h1>Index of \/pulp\/content\/os\/<\/h1>/);
  assert.match(
    page,
    /<a href="\.\.\/">\.\.\/<\/a>\n<a href="\.\/config">config<\/a> +21-Nov-2026 06:51 {2}58 Bytes\n<a href="\.\/objects\/">objects\/<\/a>\n/,
  );
});

test('sizes and dates stand where Pulp has them, in its words', () => {
  const entries = [
    { name: 'a', size: 1, modified: '2026-01-02T03:04:05Z' },
    { name: 'b', size: 999, modified: '2026-12-31T23:59:59Z' },
    { name: 'c', size: 1000 },
    { name: 'd', size: 1_234_567 },
    { name: 'e', size: 5_000_000_000 },
    { name: 'f/', modified: '2026-06-07T08:09:10Z' },
    { name: 'g'.repeat(120), size: 2 },
  ];
  const lines = folderPage('/', { entries, more: false }).split('\n').slice(7, -4);
  assert.deepEqual(
    lines.map((line) => line.replace(/<[^>]*>/g, '')),
    [
      `a${' '.repeat(99)}02-Jan-2026 03:04  1 Byte`,
      `b${' '.repeat(99)}31-Dec-2026 23:59  999 Bytes`,
      `c${' '.repeat(99)}  1.0 kB`,
      `d${' '.repeat(99)}  1.2 MB`,
      `e${' '.repeat(99)}  5.0 GB`,
      `f/${' '.repeat(98)}07-Jun-2026 08:09`,
      `${'g'.repeat(120)}   2 Bytes`,
    ],
  );
});

test('names cannot leave their link', () => {
  const name = `a+b c"><script>alert('x')</script>&%2e#?`;
  const page = folderPage('/pulp/content/<os>/', { entries: [{ name }], more: true });
  assert.ok(!page.includes('<script'));
  const [, href] = /<a href="(\.\/[^"]+)">/.exec(page) ?? [];
  assert.equal(decodeURIComponent((href as string).slice(2).replace(/&#39;/g, "'")), name);
  assert.match(page, /Index of \/pulp\/content\/&#60;os&#62;\//);
  assert.match(page, /only the first 1 are listed/);
});

test('there is nothing above the topmost folder', () => {
  assert.ok(!folderPage('/pulp/content/', { entries: [], more: false }, true).includes('../'));
});
