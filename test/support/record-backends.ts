import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, EncryptionKeys, RecordStore, Telemetry } from 'evertoken'
import { fileLock } from 'evertoken/node'
import { keyvRecords } from 'evertoken/stores/keyv'
import { createRecordsTable, postgresRecords } from 'evertoken/stores/postgres'
import { redisRecords } from 'evertoken/stores/redis'
import pg from 'pg'
import { keyvCases } from './keyv.ts'
import { hasPostgres, startPostgres } from './postgres.ts'
import { type Connection, clientLibraries, hasRedis, startRedis } from './redis.ts'

/** What a process is told that opens records. */
export interface OpenRecordsOptions {
  readonly encryption: EncryptionKeys
  readonly telemetry?: Telemetry | undefined
  readonly deadlineMs?: number | undefined
  readonly clock?: Clock | undefined
  /** The way there, where it is not the direct one. */
  readonly port?: number | undefined
}

/** Something that keeps records, of this test alone, and what its owner can do there. */
export interface RecordsBackend {
  /** The records as a process of its own has them, with a connection of its own. */
  open(options: OpenRecordsOptions): Promise<RecordStore>
  /** What lies there, version and all, by the keys that it has there. */
  entries(): Promise<ReadonlyMap<string, string>>
  /** Puts a text that was an entry in the place of another one. */
  plant(key: string, text: string): Promise<void>
  /** Where a server listens. */
  readonly port: number
  /** Ends connections, and what was started. */
  stop(): Promise<void>
}

/** A kind of backend, for tables of tests. */
export interface RecordsBackendKind {
  readonly name: string
  /** Where there is no such server to start, but for CI, which has all of them. */
  readonly isMissing: boolean
  start(): Promise<RecordsBackend>
}

const redis: RecordsBackendKind = {
  name: 'Redis',
  isMissing: !hasRedis && process.env.CI === undefined,
  async start() {
    const server = await startRedis()
    const connections: Connection[] = []
    return {
      port: server.port,
      async open({ port = server.port, ...options }) {
        const [library] = clientLibraries
        if (library === undefined) throw new Error('expected a client library, got none')
        const connection = await library.connect(port)
        connections.push(connection)
        return redisRecords(connection.client, options)
      },
      async entries() {
        const keys = (await server.command('KEYS', '*')) as string[]
        const texts = keys.map(async (key) => [key, String(await server.command('GET', key))] as const)
        return new Map(await Promise.all(texts))
      },
      plant: async (key, text) => void (await server.command('SET', key, text, 'KEEPTTL')),
      async stop() {
        for (const connection of connections) await connection.close()
        await server.stop()
      },
    }
  },
}

const postgres: RecordsBackendKind = {
  name: 'PostgreSQL',
  isMissing: !hasPostgres && process.env.CI === undefined,
  async start() {
    const server = await startPostgres()
    const openPool = (port: number): pg.Pool => {
      const pool = new pg.Pool({ connectionString: `postgres://postgres@127.0.0.1:${port}/postgres` })
      pool.on('error', () => {})
      pools.push(pool)
      return pool
    }
    const pools: pg.Pool[] = []
    const owner = openPool(server.port)
    await owner.query(createRecordsTable())
    return {
      port: server.port,
      open: async ({ port = server.port, ...options }) => postgresRecords(openPool(port), options),
      async entries() {
        const { rows } = await owner.query(
          "SELECT key, version || ' ' || encode(value, 'escape') AS text FROM evertoken_records",
        )
        return new Map(rows.map(({ key, text }) => [key, text]))
      },
      async plant(key, text) {
        const [version, value] = text.split(' ')
        const set = "UPDATE evertoken_records SET version = $2, value = decode($3, 'escape') WHERE key = $1"
        await owner.query(set, [key, version, value])
      },
      async stop() {
        await Promise.all(pools.map((pool) => pool.end()))
        await server.stop()
      },
    }
  },
}

const sqlite: RecordsBackendKind = {
  name: 'Keyv on SQLite, with a lock on a file',
  isMissing: false,
  async start() {
    const found = keyvCases.find(({ name }) => name === 'SQLite')
    if (found === undefined) throw new Error('expected Keyv on SQLite, got none')
    const backend = await found.start(found.version)
    const folder = mkdtempSync(join(tmpdir(), 'evertoken-records-'))
    return {
      port: 0,
      open: async ({ port: _, ...options }) =>
        keyvRecords(await backend.connect(), { ...options, lock: fileLock(folder) }),
      entries: () => backend.entries(),
      plant: (key, text) => backend.write(key, text),
      async stop() {
        await backend.stop()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
}

/** What records are proved with. */
export const recordsBackends: readonly RecordsBackendKind[] = [redis, postgres, sqlite]
