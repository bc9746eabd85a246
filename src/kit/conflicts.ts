import type { Resource } from './define-resource.ts';
import { ValidationError } from './errors.ts';

const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';
export const UNIQUE_MESSAGE = 'This field must be unique.';

const isUniqueViolation = (error: unknown): error is { code: string; constraint: string } =>
  error instanceof Error &&
  (error as { code?: string }).code === UNIQUE_VIOLATION &&
  typeof (error as { constraint?: unknown }).constraint === 'string';

/** Whether PostgreSQL refused a row that refers to one which is not there, or a delete of one that another refers to. */
export const isForeignKeyViolation = (error: unknown): boolean =>
  error instanceof Error && (error as { code?: string }).code === FOREIGN_KEY_VIOLATION;

/** Runs a write; a value that another row took in the meantime becomes the same ValidationError that the check before it gives. */
export async function uniqueViolation<T>(resource: Pick<Resource, 'fields'>, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    const field = Object.keys(resource.fields).find(
      (name) => resource.fields[name]?.unique && error.constraint.includes(`_${name}_`),
    );
    if (!field) throw error;
    throw new ValidationError({ [field]: [UNIQUE_MESSAGE] });
  }
}
