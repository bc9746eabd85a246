import type { StreamCheck } from '../lib/verified-stream.ts';
import { publicUrl, UpstreamError } from './upstream-error.ts';

/** What proves a body whose bytes have no digest of their own: a module, named so that a thread can load it, and what to prove. */
export interface BodyProof {
  /** URL of a module that is a ProofModule. */
  readonly module: string;
  /** Given to its functions. */
  readonly expected: string;
}

/** What such a module exports. What its functions throw says what is wrong with the bytes. */
export interface ProofModule {
  /** For bytes that are held. */
  prove(bytes: Buffer, expected: string): void | Promise<void>;
  /** For bytes that are not; made for one body. */
  check(expected: string): StreamCheck<unknown>;
}

const loaded = new Map<string, Promise<ProofModule>>();

/** Loads the module, once a thread. */
export function loadProof({ module }: BodyProof): Promise<ProofModule> {
  let proof = loaded.get(module);
  if (!proof) {
    proof = import(module) as Promise<ProofModule>;
    loaded.set(module, proof);
  }
  return proof;
}

/** Runs a step of a proof: what is wrong with the bytes is the upstream's fault, and worth another try. */
export async function proving<T>(url: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UpstreamError('checksum', publicUrl(url), `${reason}, at ${publicUrl(url)}`, { cause: error });
  }
}

/** A check whose errors are the upstream's. */
export const provenStream = (url: string, check: StreamCheck<unknown>): StreamCheck<unknown> => ({
  update: (chunk) => proving(url, () => check.update(chunk)),
  finish: () => proving(url, () => check.finish()),
  destroy: () => check.destroy?.(),
});
