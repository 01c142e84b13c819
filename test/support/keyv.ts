import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type KeyvVersion, keyvVersions, type TestedKeyv } from './keyv-versions.ts'
import { hasPostgres, startPostgres } from './postgres.ts'
import { hasRedis, startRedis } from './redis.ts'

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
    if (sqlite === undefined) throw new Error('expected a version with an adapter for SQLite, got another')
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

const keyvBackends: readonly KeyvBackendKind[] = [map, redis, sqlite, postgres]

/** One version on one backend; `isMissing` where there is no such server to start, but for CI, which has all of them. */
export interface KeyvCase extends KeyvBackendKind {
  readonly version: KeyvVersion
  readonly title: string
  readonly isMissing: boolean
}

/** What Keyv is proved with: both versions, on every backend that they have an adapter for. */
export const keyvCases: readonly KeyvCase[] = keyvVersions.flatMap((version) =>
  keyvBackends
    .filter(({ name }) => name !== 'SQLite' || version.sqlite !== undefined)
    .map((kind) => {
      const isMissing = !kind.isInstalled && process.env.CI === undefined
      const title = `Keyv ${version.version} on ${kind.name}${isMissing ? ' (skipped: not installed, see test/setup.sh)' : ''}`
      return { ...kind, version, title, isMissing }
    }),
)
