import type { WithLock } from 'evertoken'
import { type PostgresLockOptions, postgresLock } from 'evertoken/stores/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe } from 'vitest'
import { itKeepsTheLeaseContract } from '../support/lease-contract.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../support/postgres.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

const isMissing = !hasPostgres && process.env.CI === undefined
const title = isMissing ? 'postgresLock (skipped: postgres is not installed, see test/setup.sh)' : 'postgresLock'

describe.skipIf(isMissing)(title, () => {
  let postgres: PostgresServer
  const pools: pg.Pool[] = []
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterEach(async () => {
    for (const pool of pools.splice(0)) await pool.end()
  })
  afterAll(() => postgres?.stop())

  function createPool(config: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ connectionString: postgres.url, ...config })
    pool.on('error', () => {})
    pools.push(pool)
    return pool
  }
  function createLock(options?: PostgresLockOptions): WithLock {
    // Names that are held take a connection each, and half of the pool at the most.
    return postgresLock(createPool({ max: 40 }), options)
  }

  itKeepsTheLockContract(() => ({ locks: [createLock(), createLock()] }))

  itKeepsTheLeaseContract(() => ({ createLock, place: { kind: 'postgres', place: postgres.port } }))
})
