import { defineRemote } from '../../../core/plugin-api.ts';
import type { Field } from '../../../kit/define-resource.ts';
import { OWNED_AND_VIEWED } from '../../../kit/policy.ts';
import { list, text } from '../../../kit/wire.ts';
import { pullThroughRemotePolicy } from '../access/policies.ts';

const patterns = (name: string, description: string): Field => ({
  wire: list(text({ max: 255 }), { nullable: true }),
  description,
  column: `d.${name}`,
  resolve: (value) => ({ [name]: value }),
});

/** A registry of which any repository can be pulled through, as far as the patterns let it. */
export const pullThroughRemote = defineRemote({
  plugin: 'container',
  endpoint: 'pull-through',
  model: 'ContainerPullThroughRemote',
  title: ['container pull-through remote', 'container pull-through remotes'],
  description: 'A pull-through remote says how to reach an upstream registry whose repositories are cached as they are pulled.',
  policy: pullThroughRemotePolicy,
  roles: OWNED_AND_VIEWED,
  policies: ['on_demand'],
  fields: {
    includes: patterns('includes', 'Names of upstream repositories that may be pulled, or patterns with * ? []; null: all.'),
    excludes: patterns('excludes', 'Names of upstream repositories that may not be pulled, or patterns; applied after includes.'),
  },
  detail: { table: 'container_pull_through_remote', columns: ['includes', 'excludes'] },
});
