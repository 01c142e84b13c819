import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RedisClient, RedisSubscriber } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { freePort } from './free-port.ts'

/** A real server of this test alone. */
export interface RedisServer {
  readonly port: number
  /** Sends a command on a connection that no client library has touched, and gives the reply. */
  command(...args: readonly string[]): Promise<unknown>
  /** Ends the process at once, as `kill -9` does; what it held is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  /** Stops it in its tracks: connections stay, answers do not come. */
  pause(): void
  resume(): void
  /** Ends the server and removes its folder. */
  stop(): Promise<void>
}

/** Whether this machine has a server to start. */
export const hasRedis: boolean = isInstalled()

function isInstalled(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

/** Starts a server on a free port, in a temporary folder, that writes nothing to disk but what a cluster or Sentinel must. */
export async function startRedis(...settings: readonly string[]): Promise<RedisServer> {
  if (!hasRedis) throw new Error('redis-server: expected a program of that name, got none; `npm run setup` installs it')
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-redis-'))
  const config = join(folder, 'redis.conf')
  writeFileSync(config, settings.includes('--sentinel') ? '' : 'save ""\nappendonly no\n')
  const port = await freePort()
  let child: ChildProcess | undefined
  let direct: Redis | undefined

  async function start(): Promise<void> {
    const args = [config, '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...settings]
    child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
    await untilReady(child)
  }
  async function kill(): Promise<void> {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    port,
    async command(name = '', ...args) {
      direct ??= new Redis({ port, host: '127.0.0.1', lazyConnect: true }).on('error', () => {})
      return direct.call(name, ...args)
    },
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async stop() {
      direct?.disconnect()
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function untilReady(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new Error('redis-server: expected its output, got none')
  for await (const line of createInterface(child.stdout)) {
    if (!/Ready to accept connections|Sentinel ID is/.test(line)) continue
    // Read on, lest a full pipe should hold the server up.
    child.stdout.resume()
    return
  }
  throw new Error('redis-server: expected it to start, got an exit')
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
