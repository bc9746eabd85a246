/** Something did not come to its end in time. The message says what, and how long it had. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** What `promise` answers, or a DeadlineError with `message` after so many milliseconds. The work itself goes on unheard. */
export async function withDeadline<T>(promise: Promise<T>, milliseconds: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(message)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
