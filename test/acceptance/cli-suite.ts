import { after, before } from 'node:test';
import { type PulpCli, pulpCli } from '../support/pulp-cli.ts';
import { openServer, type Server } from './server.ts';

/** The server under test, and the `pulp` command line set up for it: there while the tests of a suite run. */
export interface CliSuite extends Pick<PulpCli, 'pulp' | 'run'> {
  readonly server: Server;
  readonly cli: PulpCli;
}

/** Gives the suite that it is called in a server and a command line, and takes them away after its tests. Needs `pulp` on the PATH. */
export function cliSuite(): CliSuite {
  let server: Server;
  let cli: PulpCli;
  before(async () => {
    server = await openServer();
    cli = await pulpCli(server.url);
    // The description of the API is fetched once and kept.
    await cli.pulp('status');
  });
  after(async () => {
    await cli?.remove();
    await server?.stop();
  });
  return {
    get server() {
      return server;
    },
    get cli() {
      return cli;
    },
    pulp: (command, ...options) => cli.pulp(command, ...options),
    run: (command, ...options) => cli.run(command, ...options),
  };
}
