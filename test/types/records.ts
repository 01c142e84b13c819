// Compiled, never run: what records have to be told.

import { localLock, type RecordStore } from 'evertoken'
import { keyvRecords } from 'evertoken/stores/keyv'
import { postgresRecords } from 'evertoken/stores/postgres'
import { redisRecords } from 'evertoken/stores/redis'
import type { Cluster, Redis } from 'ioredis'
import { Keyv } from 'keyv'
import pg from 'pg'
import type { createCluster } from 'redis'

declare const redis: Redis
declare const encryption: { keys: { id: string; key: Uint8Array }[] }

const each: readonly RecordStore[] = [
  redisRecords(redis, { encryption }),
  redisRecords({} as Cluster, { plaintext: true, deadlineMs: 100 }),
  redisRecords({} as ReturnType<typeof createCluster>, { encryption, prefix: 'app:' }),
  postgresRecords(new pg.Pool(), { encryption, table: 'app.sessions' }),
  keyvRecords(new Keyv(), { encryption, lock: localLock() }),
]
void each
// @ts-expect-error whether records are encrypted has to be said
redisRecords(redis, {})
// @ts-expect-error it cannot be both
postgresRecords(new pg.Pool(), { encryption, plaintext: true })
// @ts-expect-error a client is no pool
postgresRecords(new pg.Client(), { encryption })
// @ts-expect-error Keyv cannot compare and write without a lock
keyvRecords(new Keyv(), { encryption })
// @ts-expect-error a record has to have a version
void each[0]?.put('key', 'value', { expiresAt: 0 })
