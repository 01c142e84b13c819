import KeyvPostgres5 from '@keyv/postgres'
import KeyvRedis5 from '@keyv/redis'
import KeyvSqlite5 from '@keyv/sqlite'
import type { KeyvInstance } from 'evertoken/stores/keyv'
import { Keyv as Keyv5 } from 'keyv'
import { Keyv as Keyv6, KeyvPostgres as KeyvPostgres6, KeyvRedis as KeyvRedis6 } from './keyv-6/index.ts'

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
  /** An adapter; that of version 6 would have to be compiled for every run of the tests, for minutes. */
  readonly sqlite?: (file: string) => SqliteAdapter
  postgres(uri: string): TestedKeyv
}

/** How long SQLite waits for another writer. */
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
  postgres: (uri) => new Keyv6({ store: new KeyvPostgres6({ uri, maxUses }) }),
}

/** Both, for tables of tests. */
export const keyvVersions: readonly KeyvVersion[] = [five, six]
