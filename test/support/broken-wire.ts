import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server of this machine that can be cut. */
export interface BrokenWire {
  readonly port: number
  /** Lets nothing through any more, in either direction, and tells nobody: what a router does that has gone. */
  cut(): void
  /** Lets through what comes from now on. */
  mend(): void
  close(): Promise<void>
}

/** Starts it; it lets everything through at first. */
export async function startWire(target: number): Promise<BrokenWire> {
  const ends = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(from)
      from.on('error', () => {})
      from.on('data', (bytes) => isCut || to.write(bytes))
      from.on('end', () => isCut || to.end())
      from.on('close', () => ends.delete(from))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      isCut = true
    },
    mend() {
      isCut = false
    },
    async close() {
      for (const end of ends) end.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
