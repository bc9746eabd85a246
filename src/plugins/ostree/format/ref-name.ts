/** libostree's grammar of a ref (OSTREE_REF_REGEXP): parts of word characters, dot and dash, between slashes. */
const GRAMMAR = /^[-._A-Za-z0-9]+(?:\/[-._A-Za-z0-9]+)*$/;
const MAX_LENGTH = 1024;
/** Bytes of the file of a ref: a checksum, and what little may follow it. */
export const MAX_REF_BYTES = 4096;

/** Whether a text names a ref and, as the path `refs/heads/<name>`, stays below that folder. */
export const isRefName = (text: string): boolean =>
  text.length <= MAX_LENGTH && GRAMMAR.test(text) && !text.split('/').some((part) => part === '.' || part === '..');
