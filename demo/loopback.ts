import { once } from 'node:events'
import type { AddressInfo, Server, Socket } from 'node:net'

/** A server's place on this machine: one port, kept while the server goes and comes back. */
export interface Loopback {
  readonly port: number
  readonly sockets: ReadonlySet<Socket>
  /** Refuses connections from now on and cuts those that are open. */
  shut(): Promise<void>
  /** Listens again, on the same port. */
  reopen(): Promise<void>
}

/** Lets a server listen on a free port that only this machine reaches. */
export async function listenOnLoopback(server: Server): Promise<Loopback> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })

  async function listen(port: number): Promise<number> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  const port = await listen(0)
  return {
    port,
    sockets,
    async shut() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
    async reopen() {
      await listen(port)
    },
  }
}
