import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test as base, describe, expect } from 'vitest'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { startToxicProxy, type ToxicProxy } from './toxic-proxy.ts'

interface Echo {
  readonly proxy: ToxicProxy
  /** A client of the proxy. */
  readonly dial: () => Socket
  /** A client of the server itself. */
  readonly dialDirectly: () => Socket
  /** How many connections the server has. */
  readonly connections: () => number
  /** What the server has got, in all. */
  readonly heard: readonly string[]
}

/** A server behind a proxy, which says everything twice. */
const test = base.extend<{ readonly echo: Echo }>({
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  echo: async ({}, use) => {
    const heard: string[] = []
    const server = createServer((socket) =>
      socket.on('data', (bytes) => {
        heard.push(bytes.toString())
        socket.write(`${bytes}${bytes}`)
      }),
    )
    const { port, sockets, shut } = await listenOnLoopback(server)
    const proxy = await startToxicProxy(port)
    const clients: Socket[] = []
    const dialTo = (to: number): Socket => {
      const client = connect({ port: to, host: '127.0.0.1' }).on('error', () => {})
      clients.push(client)
      return client
    }
    await use({
      proxy,
      dial: () => dialTo(proxy.port),
      dialDirectly: () => dialTo(port),
      connections: () => sockets.size,
      heard,
    })
    for (const client of clients) client.destroy()
    await proxy.close()
    await shut()
  },
})

async function reply(client: Socket, text: string): Promise<string> {
  client.write(text)
  const [bytes] = await once(client, 'data')
  return String(bytes)
}

/** Resolves when it is closed, for whatever reason. */
function closing(client: Socket): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()))
}

describe('a toxic network', () => {
  test('passes everything on while it is not spoilt', async ({ echo: { dial } }) => {
    expect(await reply(dial(), 'ab')).toBe('abab')
  })

  test('is slow with replies, until it is mended', async ({ echo: { proxy, dial, heard } }) => {
    const client = dial()
    await reply(client, 'a')
    proxy.spoil({ kind: 'slow', ms: 3_600_000 })
    const late = reply(client, 'b')
    await expect.poll(() => heard).toEqual(['a', 'b'])
    proxy.spoil(undefined)
    expect(await late).toBe('bb')
  })

  test('hangs, and delivers late', async ({ echo: { proxy, dial, dialDirectly, heard } }) => {
    const client = dial()
    await reply(client, 'a')
    proxy.spoil({ kind: 'black_hole' })
    const late = reply(client, 'b')
    await reply(dialDirectly(), 'c')
    expect(heard).toEqual(['a', 'c'])
    proxy.spoil(undefined)
    expect(await late).toBe('bb')
  })

  test('forgets a connection without a word, for good, and takes new ones when it is mended', async ({
    echo: { proxy, dial, connections, heard },
  }) => {
    const client = dial()
    await reply(client, 'a')
    proxy.spoil({ kind: 'half_open' })
    client.write('b')
    await expect.poll(connections).toBe(0)
    proxy.spoil(undefined)
    client.write('c')
    expect(await reply(dial(), 'd')).toBe('dd')
    expect(heard).toEqual(['a', 'd'])
    expect(client.readableEnded || client.destroyed).toBe(false)
  })

  test('breaks a reply off in the middle, and the connection with it', async ({ echo: { proxy, dial } }) => {
    const client = dial()
    proxy.spoil({ kind: 'cut' })
    const ended = once(client, 'end')
    expect(await reply(client, 'ab')).toBe('ab')
    await ended
  })

  test('refuses connections, and resets those that are open', async ({ echo: { proxy, dial } }) => {
    const client = dial()
    await reply(client, 'a')
    const closed = closing(client)
    proxy.spoil({ kind: 'refuse' })
    await closed
    await closing(dial())
  })
})
