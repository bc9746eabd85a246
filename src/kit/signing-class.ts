/** What a script is to sign. */
export interface SignedSubject {
  /** For the script's files. */
  readonly folder: string;
  /** What the file is called in its signature: the name of an image. */
  readonly name: string;
}

/** A kind of signing service: what its scripts are given to sign, and how they hand the signature over. */
export interface SigningClass {
  /** As operators name it, and Pulp too: `container:ManifestSigningService`. */
  readonly name: string;
  /** A file like those that are signed: a script is tried with it. */
  readonly sample: string;
  /** Environment variables that the script is given beside the key's fingerprint. */
  readonly variables: (subject: SignedSubject) => Readonly<Record<string, string>>;
  /** Under which name the JSON that the script prints has the path of the signature. */
  readonly signatureKey: string;
  /** Whether the signature stands beside the file; else it contains what was signed. */
  readonly detached: boolean;
}
