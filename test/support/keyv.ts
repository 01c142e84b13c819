import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import KeyvPostgres5 from '@keyv/postgres'
import KeyvRedis5 from '@keyv/redis'
import KeyvSqlite5 from '@keyv/sqlite'
import type { KeyvInstance } from 'evertoken/stores/keyv'
import { Keyv as Keyv5 } from 'keyv'
import pg from 'pg'
import {
  Keyv as Keyv6,
  KeyvPostgres as KeyvPostgres6,
  KeyvRedis as KeyvRedis6,
  KeyvSqlite as KeyvSqlite6,
} from './keyv-6/index.ts'
import { hasPostgres, startPostgres } from './postgres.ts'
import { hasRedis, startRedis } from './redis.ts'

/** A Keyv of either version, as its user has it. */
export interface TestedKeyv extends KeyvInstance {
  get(key: string): Promise<unknown>
  clear(): Promise<void>
  disconnect(): Promise<unknown>
  listeners(event: 'error'): readonly unknown[]
}

/** A connection to a file that takes SQL, too. */
export interface SqliteAdapter {
  query(sql: string, ...values: string[]): Promise<readonly unknown[]>
  close(): Promise<void>
}

/** A major version of Keyv, with the adapters that were made for it. */
export interface KeyvVersion {
  readonly version: 5 | 6
  /** Of a map, or of an adapter of one's own. */
  create(store: unknown): TestedKeyv
  redis(port: number): TestedKeyv
  /** An adapter; two libraries of SQLite in one process do not see each other's locks. */
  sqlite(file: string): SqliteAdapter
  postgres(uri: string): TestedKeyv
}

/** How long SQLite waits for another writer; the driver of version 6 lets the whole process wait. */
const busyTimeout = 100
/** The adapters listen to no error of their pool: a connection that breaks while it is idle would end the process. */
const maxUses = 1
const redisOptions = (port: number) => ({
  url: `redis://127.0.0.1:${port}`,
  disableOfflineQueue: true,
  socket: { reconnectStrategy: () => 20 },
})

const five: KeyvVersion = {
  version: 5,
  create: (store) => new Keyv5({ store }),
  redis: (port) => new Keyv5({ store: new KeyvRedis5(redisOptions(port)) }),
  sqlite: (file) => new KeyvSqlite5({ uri: `sqlite://${file}`, busyTimeout }),
  postgres: (uri) => new Keyv5({ store: new KeyvPostgres5({ uri, maxUses }) }),
}

const six: KeyvVersion = {
  version: 6,
  create: (store) => new Keyv6({ store }),
  redis: (port) => new Keyv6({ store: new KeyvRedis6(redisOptions(port)) }),
  sqlite: (file) => new KeyvSqlite6({ uri: `sqlite://${file}`, busyTimeout }),
  postgres: (uri) => new Keyv6({ store: new KeyvPostgres6({ uri, maxUses }) }),
}

/** Both, for tables of tests. */
export const keyvVersions: readonly KeyvVersion[] = [five, six]

/** Something that Keyv stores in, of this test alone, and what its owner can do there. */
export interface KeyvBackend {
  /** A Keyv with an adapter of its own, connected. */
  connect(): Promise<TestedKeyv>
  /** What lies there, by the keys that it has there. */
  entries(): Promise<ReadonlyMap<string, string>>
  write(key: string, value: string): Promise<void>
  /** Everything there is to read. */
  image(): Promise<string>
  stop(): Promise<void>
  /** Of a file: another process has it to itself until the returned function is called. */
  readonly lock?: () => Promise<() => Promise<void>>
  /** Of a server: ends it at once, and starts it again. */
  readonly server?: { kill(): Promise<void>; start(): Promise<void> }
}

/** A kind of backend, for tables of tests. */
export interface KeyvBackendKind {
  readonly name: 'Map' | 'Redis' | 'SQLite' | 'Postgres'
  readonly isInstalled: boolean
  start(version: KeyvVersion): Promise<KeyvBackend>
}

interface Owner extends Omit<KeyvBackend, 'connect' | 'image'> {
  readonly open: () => TestedKeyv
  readonly image?: () => Promise<string>
}

/** What all backends do alike. */
function backendOf({ open, stop, ...owner }: Owner): KeyvBackend {
  const keyvs: TestedKeyv[] = []
  return {
    image: async () => JSON.stringify([...(await owner.entries())]),
    ...owner,
    async connect() {
      const keyv = open()
      keyvs.push(keyv)
      // The first call connects, and those that come meanwhile are refused.
      keyv.on('error', () => {})
      await keyv.get('nothing')
      return keyv
    },
    async stop() {
      // Two adapters of version 5 have one pool, which can be ended once.
      for (const keyv of keyvs) await keyv.disconnect().catch(() => {})
      await stop()
    },
  }
}

const map: KeyvBackendKind = {
  name: 'Map',
  isInstalled: true,
  async start({ version, create }) {
    const store = new Map<string, unknown>()
    return backendOf({
      open: () => create(store),
      entries: async () =>
        new Map([...store].map(([key, entry]) => [key, String(version === 5 ? entry : Object(entry).value)])),
      write: async (key, value) => void store.set(key, version === 5 ? value : { value }),
      stop: async () => store.clear(),
    })
  },
}

const redis: KeyvBackendKind = {
  name: 'Redis',
  isInstalled: hasRedis,
  async start({ redis }) {
    const server = await startRedis()
    return backendOf({
      server,
      open: () => redis(server.port),
      async entries() {
        const keys = (await server.command('KEYS', '*')) as string[]
        return new Map(
          await Promise.all(keys.map(async (key) => [key, String(await server.command('GET', key))] as const)),
        )
      },
      write: async (key, value) => void (await server.command('SET', key, value)),
      stop: () => server.stop(),
    })
  },
}

const sqlite: KeyvBackendKind = {
  name: 'SQLite',
  isInstalled: true,
  async start({ create, sqlite }) {
    const folder = mkdtempSync(join(tmpdir(), 'evertoken-keyv-'))
    const file = join(folder, 'keyv.sqlite')
    const run = async (sql: string, ...values: string[]): Promise<readonly unknown[]> => {
      const owner = sqlite(file)
      const rows = await owner.query(sql, ...values)
      await owner.close()
      return rows
    }
    return backendOf({
      open: () => create(sqlite(file)),
      entries: async () => entriesOf(await run('SELECT key, value FROM keyv')),
      write: async (key, value) => void (await run('UPDATE keyv SET value = ? WHERE key = ?', value, key)),
      image: async () =>
        readdirSync(folder)
          .map((name) => readFileSync(join(folder, name), 'latin1'))
          .join(),
      async lock() {
        const owner = sqlite(file)
        await owner.query('BEGIN EXCLUSIVE')
        return async () => {
          await owner.query('COMMIT')
          await owner.close()
        }
      },
      stop: async () => rmSync(folder, { recursive: true, force: true }),
    })
  },
}

const postgres: KeyvBackendKind = {
  name: 'Postgres',
  isInstalled: hasPostgres,
  async start({ postgres }) {
    const server = await startPostgres()
    const run = async (sql: string, ...values: string[]): Promise<readonly unknown[]> => {
      const owner = new pg.Client(server.url)
      await owner.connect()
      const { rows } = await owner.query(sql, values)
      await owner.end()
      return rows
    }
    return backendOf({
      server,
      open: () => postgres(server.url),
      entries: async () => entriesOf(await run('SELECT key, value FROM keyv')),
      write: async (key, value) => void (await run('UPDATE keyv SET value = $1 WHERE key = $2', value, key)),
      image: async () => JSON.stringify(await run('SELECT * FROM keyv')),
      stop: () => server.stop(),
    })
  },
}

function entriesOf(rows: readonly unknown[]): ReadonlyMap<string, string> {
  return new Map(rows.map((row) => [String(Object(row).key), String(Object(row).value)]))
}

/** What Keyv is proved with. */
export const keyvBackends: readonly KeyvBackendKind[] = [map, redis, sqlite, postgres]
