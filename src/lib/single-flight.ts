/** Runs at most one `run` per key at a time; whoever asks meanwhile gets the same promise. */
export type SingleFlight<Key, Value> = (key: Key, run: () => Promise<Value>) => Promise<Value>;

/**
 * Made once per kind of work. An error goes to all who share the run and is then forgotten, so that the next caller tries
 * again. A result is forgotten too, unless `keep` is set: then it answers every later caller, for as long as this object lives.
 */
export function singleFlight<Key, Value>(options: { readonly keep?: boolean } = {}): SingleFlight<Key, Value> {
  const flights = new Map<Key, Promise<Value>>();
  const fly = async (key: Key, run: () => Promise<Value>): Promise<Value> => {
    try {
      const value = await run();
      if (!options.keep) flights.delete(key);
      return value;
    } catch (error) {
      flights.delete(key);
      throw error;
    }
  };
  return (key, run) => {
    const known = flights.get(key);
    if (known) return known;
    // `run` starts in a later microtask, so that a run that throws at once cannot be forgotten before it was noted.
    const flight = Promise.resolve().then(() => fly(key, run));
    flights.set(key, flight);
    return flight;
  };
}
