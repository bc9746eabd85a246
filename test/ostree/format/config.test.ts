import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRepoConfig } from '../../../src/plugins/ostree/format/config.ts';
import { refusal } from './refusal.ts';

test('the config of an archive repository', () => {
  assert.deepEqual(parseRepoConfig('[core]\nrepo_version=1\nmode=archive-z2\nindexed-deltas=true\n\n'), {
    mode: 'archive-z2',
    collectionId: undefined,
    indexedDeltas: true,
    tombstoneCommits: false,
  });
});

test('spaces, comments, other groups and the older name of the mode', () => {
  const text =
    '# made by hand\r\n[core]\r\nrepo_version = 1\r\nmode = archive\r\ncollection-id=org.example.Main\r\ntombstone-commits=true\r\n' +
    '[remote "x"]\r\nurl=https://example.org/?a=b\r\nmode=bare\r\n';
  assert.deepEqual(parseRepoConfig(text), {
    mode: 'archive',
    collectionId: 'org.example.Main',
    indexedDeltas: undefined,
    tombstoneCommits: true,
  });
});

const REFUSED: readonly [name: string, text: string, message: string][] = [
  [
    'a bare repository',
    '[core]\nrepo_version=1\nmode=bare\n',
    'config: the repository is of the mode "bare": only an archive (archive-z2) repository can be mirrored',
  ],
  [
    'a repository for users',
    '[core]\nrepo_version=1\nmode=bare-user\n',
    'config: the repository is of the mode "bare-user": only an archive (archive-z2) repository can be mirrored',
  ],
  [
    'a repository of no mode',
    '[core]\nrepo_version=1\n',
    'config: the repository is of the mode "bare": only an archive (archive-z2) repository can be mirrored',
  ],
  ['a later version', '[core]\nrepo_version=2\nmode=archive-z2\n', 'config: repo_version is "2", not 1'],
  ['no version', '[core]\nmode=archive-z2\n', 'config: repo_version is "", not 1'],
  ['nothing', '', 'config: it has no group [core]: does the URL name an OSTree repository?'],
  [
    'a web page',
    '<!DOCTYPE html>\n<html></html>',
    'config: it is an HTML page, not the config of an OSTree repository: does the URL name one?',
  ],
  ['text', 'Not found', 'config: line 1 is neither a group nor a key with a value'],
  ['a line without a value', '[core]\nrepo_version\n', 'config: line 2 is neither a group nor a key with a value'],
  [
    'a boolean that is none',
    '[core]\nrepo_version=1\nmode=archive-z2\nindexed-deltas=maybe\n',
    'config: indexed-deltas is "maybe", neither true nor false',
  ],
  ['a text without end', 'x'.repeat(1024 * 1024 + 1), 'config: it is longer than 1048576 characters'],
];

for (const [name, text, message] of REFUSED) {
  test(`refused: ${name}`, () => {
    assert.equal(
      refusal(() => parseRepoConfig(text)),
      message,
    );
  });
}
