import { write } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** What Node keeps of a socket, under a name that is not documented and that all its versions have. Without it the event loop writes everything. */
interface Handled {
  readonly _handle?: { readonly fd?: number } | null;
}

/** The descriptor that bytes can be written to as they are; undefined where others wait to be written before them, and once it is closed. */
function openDescriptor(socket: Socket): number | undefined {
  if (socket.destroyed || socket.writableLength > 0 || socket instanceof TLSSocket) return undefined;
  const fd = (socket as Handled)._handle?.fd;
  return fd !== undefined && fd >= 0 ? fd : undefined;
}

/**
 * Writes to a connection on a thread of the pool, beside the event loop, as many of the bytes as the kernel takes at once, and answers how many
 * those are: 0 where it takes none now, or where this way is not open. Whoever asks waits for room, and hears of a broken connection, by writing the
 * next bytes as usual. Nobody else may write meanwhile.
 *
 * A descriptor that is closed is given to the next connection, which must never get these bytes: until they are written, a socket that is
 * destroyed is not closed. See docs/adr/025-bytes-beside-the-event-loop.md.
 */
export function writeBeside(socket: Socket, bytes: Uint8Array): Promise<number> {
  const fd = openDescriptor(socket);
  if (fd === undefined) return Promise.resolve(0);
  const destroy = socket._destroy;
  let close = (): void => undefined;
  socket._destroy = (error, done) => {
    close = () => destroy.call(socket, error, done);
  };
  return new Promise((resolve) => {
    write(fd, bytes, 0, bytes.byteLength, null, (error, written) => {
      socket._destroy = destroy;
      close();
      // EAGAIN: there is no room. Whatever else it is, the next write meets it too, and tells.
      resolve(error ? 0 : written);
    });
  });
}
