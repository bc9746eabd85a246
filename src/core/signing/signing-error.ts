/** A signing service that does not do what it is for. The message tells the operator what to mend. */
export class SigningError extends Error {
  override readonly name = 'SigningError';
}
