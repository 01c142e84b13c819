import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { listenOnLoopback } from '../../demo/loopback.ts'

/** What the network does between a client and its server. */
export type Toxic =
  /** Every piece that the server sends is held back for so long, one after the other. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** Nothing gets through in either direction; it does, late, when that is over. */
  | { readonly kind: 'black_hole' }
  /** The server has forgotten the connections that are open; the client is not told. New connections go the same way. */
  | { readonly kind: 'half_open' }
  /** The first reply from now on breaks off in the middle, and so does its connection; likewise for each connection after it. */
  | { readonly kind: 'cut' }
  /** Connections are refused, and those that are open are reset. */
  | { readonly kind: 'refuse' }

/** A network of one client that does as it is told. */
export interface ToxicProxy {
  readonly port: number
  /** Spoils it from now on; `undefined` mends it. Connections that were cut or half open stay as they are. */
  spoil(toxic: Toxic | undefined): void
  /** Resets all connections that are open. */
  reset(): void
  close(): Promise<void>
}

/** Passes bytes on between a port of its own and another one of this machine. */
export async function startToxicProxy(to: number): Promise<ToxicProxy> {
  let toxic: Toxic | undefined
  let mended = createDoor()
  const server = createServer(pass)
  const { port, sockets, shut } = await listenOnLoopback(server)

  function pass(client: Socket): void {
    if (toxic?.kind === 'refuse') return void client.resetAndDestroy()
    const upstream = connect({ port: to, host: '127.0.0.1' })
    let isForgotten = false
    // One who ends, ends both, unless the other one is not to know.
    upstream.on('error', () => {}).on('close', () => isForgotten || client.resetAndDestroy())
    client.on('close', () => upstream.destroy())

    async function forward(from: Socket, into: Socket, isReply: boolean): Promise<void> {
      for await (const bytes of from) {
        if (toxic?.kind === 'black_hole') await mended.opened
        if (toxic?.kind === 'half_open') {
          isForgotten = true
          upstream.destroy()
        }
        if (isForgotten) continue
        if (isReply && toxic?.kind === 'slow')
          await Promise.race([delay(toxic.ms, undefined, { ref: false }), mended.opened])
        const isCut = isReply && toxic?.kind === 'cut'
        into.write(isCut ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes)
        if (isCut) into.end(() => upstream.destroy())
      }
    }
    forward(client, upstream, false).catch(() => {})
    forward(upstream, client, true).catch(() => {})
  }
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    port,
    spoil(next) {
      toxic = next
      mended.open()
      mended = createDoor()
      if (next?.kind === 'refuse') reset()
    },
    reset,
    close: shut,
  }
}

interface Door {
  readonly opened: Promise<void>
  open(): void
}

function createDoor(): Door {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}
