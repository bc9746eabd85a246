import type { ProofModule } from '../../src/download/proof.ts';

/** Proves that bytes are nothing but one letter: what a download thread loads in tests. */
const refuse = (bytes: Uint8Array, letter: string): void => {
  const wrong = bytes.findIndex((byte) => byte !== letter.charCodeAt(0));
  if (wrong >= 0) throw new Error(`not only ${letter}: ${String.fromCharCode(bytes[wrong] as number)}`);
};

export const prove: ProofModule['prove'] = refuse;

export const check: ProofModule['check'] = (letter) => ({
  update: (chunk) => refuse(chunk, letter),
  finish: () => undefined,
});
