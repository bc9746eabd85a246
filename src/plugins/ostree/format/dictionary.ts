import { refuse, type Subject } from './format-error.ts';
import { parseGVariant, type Value, type Variant } from './gvariant.ts';
import { gvariantType } from './gvariant-type.ts';
import { MAX_METADATA_BYTES } from './object.ts';

/** `a{sv}`: names and values in the order of the bytes. */
export type Dictionary = readonly (readonly [name: string, value: Variant])[];

export const DICTIONARY = gvariantType('a{sv}');

/** Parses what is an `a{sv}` as a whole: commitmeta, summary.sig, a delta index. FormatError, naming `subject`, for anything else. */
export function parseDictionary(bytes: Buffer, subject: Subject): Dictionary {
  if (bytes.length > MAX_METADATA_BYTES) refuse(subject, `it is larger than ${MAX_METADATA_BYTES} bytes`);
  return asDictionary(parseGVariant(DICTIONARY, bytes, subject));
}

/** A parsed value whose type is `a{sv}`. */
export const asDictionary = (value: Value): Dictionary => value as Dictionary;

/** The first value of that name, where it is of that type; as in GLib, one of another type counts as none. */
export function lookUp(dictionary: Dictionary, name: string, type: 's'): string | undefined;
export function lookUp(dictionary: Dictionary, name: string, type: 'b'): boolean | undefined;
export function lookUp(dictionary: Dictionary, name: string, type: 'y'): number | undefined;
export function lookUp(dictionary: Dictionary, name: string, type: 't'): bigint | undefined;
export function lookUp(dictionary: Dictionary, name: string, type: string): Value | undefined;
export function lookUp(dictionary: Dictionary, name: string, type: string): Value | undefined {
  const found = dictionary.find(([key]) => key === name)?.[1];
  return found?.type === type ? found.value : undefined;
}
