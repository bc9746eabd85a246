import type { ContentHandler } from '../../../kit/content-handler.ts';
import { findFile } from './find-file.ts';
import { listFolder } from './list-folder.ts';
import { UpstreamFiles } from './upstream-files.ts';

/** Serves versions as the archive repositories that `ostree` pulls from. */
export const ostreeContent: ContentHandler = {
  pulp_type: 'ostree.ostree',
  open(services) {
    const upstreams = new UpstreamFiles(services);
    return {
      find: (version, path) => findFile(services, upstreams, version, path),
      list: (version, path) => listFolder(services, version, path),
      close: () => upstreams.close(),
    };
  },
};
