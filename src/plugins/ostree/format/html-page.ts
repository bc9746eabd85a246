const HTML = /^(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b/i;

/** Whether bytes start as a web page does: what a login page or a proxy answers for any path. */
export const looksLikeHtml = (bytes: Buffer): boolean => HTML.test(bytes.toString('latin1', 0, 256));
