/** libostree's grammar of a ref (OSTREE_REF_REGEXP): parts of word characters, dot and dash, between slashes. */
const GRAMMAR = /^[-._A-Za-z0-9]+(?:\/[-._A-Za-z0-9]+)*$/;
const MAX_LENGTH = 1024;

/** Whether a text names a ref and, as the path `refs/heads/<name>`, stays below that folder. */
export const isRefName = (text: string): boolean =>
  text.length <= MAX_LENGTH && GRAMMAR.test(text) && !text.split('/').some((part) => part === '.' || part === '..');
