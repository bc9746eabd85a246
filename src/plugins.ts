import { corePlugin } from './core/plugin.ts';
import type { Plugin } from './kit/define-plugin.ts';
import { containerPlugin } from './plugins/container/plugin.ts';
import { ostreePlugin } from './plugins/ostree/plugin.ts';

/** Everything that is plugged in; a new kind of content is one more line. */
export const plugins: readonly Plugin[] = [corePlugin, containerPlugin, ostreePlugin];
