import { once } from 'node:events'
import type { RedisClient, RedisSubscriber } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { hasRedisServer, type RedisServer as Server, startRedisServer } from '../../demo/redis-server.ts'

/** A real server of this test alone. */
export interface RedisServer extends Server {
  /** Sends a command on a connection that no client library has touched, and gives the reply. */
  command(...args: readonly string[]): Promise<unknown>
}

/** Whether this machine has a server to start. */
export const hasRedis: boolean = hasRedisServer()

/** Starts a server on a free port, in a temporary folder, that writes nothing to disk but what a cluster or Sentinel must. */
export async function startRedis(...settings: readonly string[]): Promise<RedisServer> {
  if (!hasRedis) throw new Error('redis-server: expected a program of that name, got none; `npm run setup` installs it')
  const server = await startRedisServer(...settings)
  let direct: Redis | undefined
  return {
    ...server,
    async command(name = '', ...args) {
      direct ??= new Redis({ port: server.port, host: '127.0.0.1', lazyConnect: true }).on('error', () => {})
      return direct.call(name, ...args)
    },
    async stop() {
      direct?.disconnect()
      await server.stop()
    },
  }
}

/** A connection of one of the client libraries, as a user makes it. */
export interface Connection {
  readonly client: RedisClient & RedisSubscriber
  close(): Promise<void>
}

/** One of the client libraries. */
export interface ClientLibrary {
  readonly name: string
  connect(port: number): Promise<Connection>
}

const ioredis: ClientLibrary = {
  name: 'ioredis',
  async connect(port) {
    const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 20, maxRetriesPerRequest: 1 })
    client.on('error', () => {})
    await once(client, 'ready')
    return { client, close: async () => client.disconnect() }
  },
}

const nodeRedis: ClientLibrary = {
  name: 'node-redis',
  async connect(port) {
    const client = createClient({ socket: { port, host: '127.0.0.1', reconnectStrategy: () => 20 } })
    client.on('error', () => {})
    await client.connect()
    return { client, close: async () => client.destroy() }
  },
}

/** Both, for tables of tests. */
export const clientLibraries: readonly ClientLibrary[] = [ioredis, nodeRedis]

/** How many locks are held there; what marks that somebody was there before does not count. */
export async function heldLocks(redis: RedisServer): Promise<number> {
  const keys = await redis.command('KEYS', '*lock:*')
  if (!Array.isArray(keys)) throw new Error('expected a list of keys, got something else')
  const lengths = await Promise.all(keys.map((key) => redis.command('STRLEN', String(key))))
  return lengths.filter((length) => length !== 0).length
}

/** Ways to have a server refuse writes, with the word that its refusals begin with. */
export const refusedWrites: readonly {
  readonly name: string
  readonly break: readonly string[]
  readonly mend: readonly string[]
  readonly word: string
}[] = [
  {
    name: 'no memory is left',
    break: ['CONFIG', 'SET', 'maxmemory', '1'],
    mend: ['CONFIG', 'SET', 'maxmemory', '0'],
    word: 'OOM',
  },
  {
    name: 'the server has become a replica',
    break: ['REPLICAOF', '127.0.0.1', '1'],
    mend: ['REPLICAOF', 'NO', 'ONE'],
    word: 'READONLY',
  },
]
