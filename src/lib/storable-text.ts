/** The text as PostgreSQL can keep it, or look for it: without NUL, and without halves of surrogate pairs. */
export const storableText = (text: string): string => text.replaceAll('\0', '').toWellFormed();
