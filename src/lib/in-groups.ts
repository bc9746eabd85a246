interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Has single items worked on in groups, one group at a time: what comes while a group is at work makes up the next one, of `max`
 * items at most. Made once per kind of work. An error goes to all who share the group.
 */
export function inGroups<Item>(work: (items: readonly Item[]) => Promise<void>, max: number): (item: Item) => Promise<void> {
  let waiting: Waiting<Item>[] = [];
  let running = false;

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const group = waiting.slice(0, max);
      waiting = waiting.slice(max);
      try {
        await work(group.map(({ item }) => item));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    running = false;
  };

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (running) return;
      running = true;
      setImmediate(run);
    });
}
