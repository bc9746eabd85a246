import { defineRemote } from '../../../core/plugin-api.ts';
import type { Field } from '../../../kit/define-resource.ts';
import { OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { integer, list, text } from '../../../kit/wire.ts';
import { remotePolicy } from '../access/policies.ts';

const patterns = (name: string, description: string): Field => ({
  wire: list(text({ max: 255 }), { nullable: true }),
  column: `d.${name}`,
  description,
});

/** An OSTree repository to mirror from. */
export const ostreeRemote = defineRemote({
  plugin: 'ostree',
  endpoint: 'ostree',
  model: 'OstreeRemote',
  title: ['OSTree remote', 'OSTree remotes'],
  description: 'An OSTree remote says how to reach an OSTree repository of another server.',
  policy: remotePolicy,
  roles: OWNED_AND_VIEWED,
  policies: ['immediate', 'on_demand'],
  fields: {
    depth: {
      wire: integer({ min: 0 }),
      default: 0,
      column: 'd.depth',
      description: "How many parents of each ref's commit are mirrored; 0: none.",
    },
    include_refs: patterns('include_refs', 'Refs to mirror: names, or patterns with * ? []; null mirrors all.'),
    exclude_refs: patterns('exclude_refs', 'Refs not to mirror, in the same forms; applied after include_refs.'),
  },
  detail: { table: 'ostree_remote', columns: ['depth', 'include_refs', 'exclude_refs'] },
});
