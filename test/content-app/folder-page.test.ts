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
    /<a href="\.\.\/">\.\.\/<\/a>\n<a href="\.\/config">config<\/a> +2026-11-21 06:51 {2}58 Bytes\n<a href="\.\/objects\/">objects\/<\/a>\n/,
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
