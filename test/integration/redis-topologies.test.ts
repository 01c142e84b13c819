import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import {
  type RedisClient,
  type RedisSubscriber,
  redisInvalidations,
  redisLock,
  redisRecords,
  redisStore,
} from 'evertoken/stores/redis'
import { Cluster, Redis } from 'ioredis'
import { createClient, createClientPool, createCluster, createSentinel } from 'redis'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { root } from '../support/manifest.ts'
import { hasRedis, heldLocks, type RedisServer, startRedis } from '../support/redis.ts'

const isMissing = !hasRedis && process.env.CI === undefined
const title = `Redis in other shapes${isMissing ? ' (skipped: redis-server is not installed, see test/setup.sh)' : ''}`
const host = '127.0.0.1'

interface Joined {
  readonly client: RedisClient
  readonly subscriber: RedisSubscriber
  readonly close: () => void
}

interface Shape {
  readonly name: string
  /** Which server answers in the end. */
  readonly of: (servers: Servers) => RedisServer
  readonly join: (servers: Servers) => Promise<Joined>
}

interface Servers {
  readonly node: RedisServer
  readonly master: RedisServer
  readonly sentinel: RedisServer
}

const shapes: readonly Shape[] = [
  {
    name: 'a cluster, with ioredis',
    of: ({ node }) => node,
    async join({ node: { port } }) {
      const client = new Cluster([{ host, port }])
      const subscriber = new Cluster([{ host, port }])
      await Promise.all([once(client, 'ready'), once(subscriber, 'ready')])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.disconnect()) }
    },
  },
  {
    name: 'a cluster, with node-redis',
    of: ({ node }) => node,
    async join({ node: { port } }) {
      const client = createCluster({ rootNodes: [{ socket: { host, port } }] })
      const subscriber = createCluster({ rootNodes: [{ socket: { host, port } }] })
      await Promise.all([client.connect(), subscriber.connect()])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.destroy()) }
    },
  },
  {
    name: 'Sentinel, with ioredis',
    of: ({ master }) => master,
    async join({ sentinel: { port } }) {
      const options = { sentinels: [{ host, port }], name: 'main' }
      const [client, subscriber] = [new Redis(options), new Redis(options)]
      await Promise.all([once(client, 'ready'), once(subscriber, 'ready')])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.disconnect()) }
    },
  },
  {
    name: 'Sentinel, with node-redis',
    of: ({ master }) => master,
    async join({ sentinel: { port } }) {
      const create = () => createSentinel({ name: 'main', sentinelRootNodes: [{ host, port }] })
      const [client, subscriber] = [create(), create()]
      await Promise.all([client.connect(), subscriber.connect()])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.destroy()) }
    },
  },
  {
    name: 'a user with no more rights than docs/how-to/redis.md gives, with ioredis',
    of: ({ master }) => master,
    async join({ master }) {
      const options = { host, port: master.port, ...(await createUser(master)) }
      const [client, subscriber] = [new Redis(options), new Redis(options)]
      await Promise.all([once(client, 'ready'), once(subscriber, 'ready')])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.disconnect()) }
    },
  },
  {
    name: 'a user with no more rights than docs/how-to/redis.md gives, with node-redis',
    of: ({ master }) => master,
    async join({ master }) {
      const options = { socket: { host, port: master.port }, ...(await createUser(master)) }
      const [client, subscriber] = [createClient(options), createClient(options)]
      await Promise.all([client.connect(), subscriber.connect()])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.destroy()) }
    },
  },
  {
    name: 'a pool of node-redis',
    of: ({ master }) => master,
    async join({ master: { port } }) {
      const client = createClientPool({ socket: { host, port } })
      const subscriber = createClient({ socket: { host, port } })
      await Promise.all([client.connect(), subscriber.connect()])
      return { client, subscriber, close: () => void [client, subscriber].map((each) => each.destroy()) }
    },
  },
]

/** Gives the rights that the page says are enough. */
async function createUser(server: RedisServer): Promise<{ readonly username: string; readonly password: string }> {
  const page = await readFile(`${root}docs/how-to/redis.md`, 'utf8')
  const [, rights = ''] = /^ACL SETUSER fleet (.+)$/m.exec(page) ?? []
  await server.command('ACL', 'SETUSER', 'fleet', ...rights.split(' '))
  return { username: 'fleet', password: 'password' }
}

describe.skipIf(isMissing)(title, () => {
  let servers: Servers
  beforeAll(async () => {
    const node = await startRedis('--cluster-enabled', 'yes', '--cluster-announce-ip', host)
    const master = await startRedis()
    const sentinel = await startRedis('--sentinel')
    servers = { node, master, sentinel }
    await sentinel.command('SENTINEL', 'MONITOR', 'main', host, String(master.port), '1')
    await node.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    // A node waits before it believes in its cluster.
    const isUp = async (): Promise<void> => expect(await node.command('CLUSTER', 'INFO')).toContain('cluster_state:ok')
    await vi.waitFor(isUp, { timeout: 20_000 })
  }, 30_000)
  afterAll(async () => {
    for (const server of Object.values(servers ?? {})) await server.stop()
  })

  it.each(shapes)('F6.10 keeps, locks and tells through $name', async ({ of, join }) => {
    const { client, subscriber, close } = await join(servers)
    const server = of(servers)
    const store = redisStore(client, { plaintext: true })
    const keys = Array.from({ length: 50 }, (_, at) => `key-${at}`)
    for (const key of keys) await store.set(key, key, Date.now() + 60_000)
    expect(await Promise.all(keys.map((key) => store.get(key)))).toEqual(keys)
    for (const key of keys) await store.delete(key)
    expect(await server.command('KEYS', '*:token:*')).toEqual([])

    const records = redisRecords(client, { plaintext: true })
    const expiresAt = Date.now() + 60_000
    for (const key of keys) {
      expect(await records.put(key, key, { version: 2, expiresAt })).toBe(true)
      expect(await records.put(key, 'late', { version: 1, expiresAt })).toBe(false)
    }
    expect(await Promise.all(keys.map((key) => records.get(key)))).toEqual(keys)
    for (const key of keys) await records.delete(key)
    expect(await server.command('KEYS', '*:record:*')).toEqual([])

    const lock = redisLock(client)
    expect(await Promise.all(keys.map((key) => lock(key, () => lock(`${key}-inner`, async () => key))))).toEqual(keys)
    expect(await heldLocks(server)).toBe(0)

    const heard: string[] = []
    redisInvalidations(client, subscriber).subscribe((key) => heard.push(key))
    const listeners = (): Promise<unknown> => server.command('PUBSUB', 'NUMSUB', 'evertoken:forget')
    await expect.poll(listeners, { timeout: 10_000 }).toEqual(['evertoken:forget', 1])
    await redisInvalidations(client, subscriber).publish('key')
    await expect.poll(() => heard, { interval: 5 }).toEqual(['key'])
    close()
  })
})
