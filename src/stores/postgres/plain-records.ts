import { Buffer } from 'node:buffer'
import { localLock, type PlainRecords, type PlainStoreSettings } from '../../store/index.ts'
import { StoreError } from '../../token/index.ts'
import { sha256, withDeadline } from '../../util/index.ts'
import { isOvertaken, openConnection, type PostgresPool, type Row } from './postgres-pool.ts'

/** What {@link plainRecords} are made of. */
export interface PlainRecordsOptions extends PlainStoreSettings {
  readonly pool: PostgresPool
  readonly table: string
}

/** A hundred years. What lasts longer lasts as long as anything here. */
const MAX_LIFETIME_MS = 100 * 365 * 24 * 60 * 60 * 1000
/** So many records are written between two clean-ups, each of which takes away more than that. */
const SWEEP_EVERY = 100
const SWEEP_ROWS = 1000
const SWEEP_MS = 10_000

/** Records as they are, one row each. */
export function plainRecords({
  pool,
  table,
  prefix,
  maxValueBytes,
  telemetry,
  clock,
}: PlainRecordsOptions): PlainRecords {
  const sql = statements(table)
  const query = queriesOf(pool)
  /** Whoever writes a row waits for others that do, with a connection, at the server; and of two connections the later call may come first. */
  const inTurn = localLock()
  let writes = 0
  /** Hashed, because a text of the server has no NUL and its index no more than 2,700 bytes. */
  const nameOf = async (key: string): Promise<string> => prefix + (await sha256(key))

  /** Behind the callers. Whatever it leaves is for the next one. */
  function sweep(): void {
    const error = (): StoreError =>
      new StoreError('expected an end of the clean-up, got none', { code: 'store_timeout' })
    withDeadline((signal) => query(sql.sweep, [SWEEP_ROWS], signal), { clock, ms: SWEEP_MS, error }).catch(() => {})
  }

  return {
    async get(key, signal) {
      const { value } = await query(sql.get, [await nameOf(key), maxValueBytes], signal)
      if (value === undefined) return undefined
      if (value instanceof Uint8Array) return Buffer.from(value).toString()
      // It stays: what is here may be all that there is, and a later write replaces it.
      telemetry.note({ name: 'entry_ignored', reason: value === null ? 'too_long' : 'malformed' })
      return undefined
    },
    async put(key, value, { version, lifetimeMs, signal }) {
      const lifetime = Math.max(Math.min(lifetimeMs, MAX_LIFETIME_MS), 0)
      const put = async (): Promise<Row> =>
        query(sql.put, [await nameOf(key), version, Buffer.from(value), lifetime], signal)
      const { written } = await inTurn(key, put, { signal })
      if (++writes % SWEEP_EVERY === 0) sweep()
      // An application may have its integers made of BigInt, and other servers give this one as a text.
      return Number(written) === 1
    },
    async delete(key, signal) {
      await inTurn(key, async () => query(sql.delete, [await nameOf(key)], signal), { signal })
    },
  }
}

type Query = (text: string, values: readonly unknown[], signal: AbortSignal) => Promise<Row>

/** Statements that are committed each by itself, and sent again where somebody else was quicker. A connection that failed, or gave no answer, is ended: after a failover another one leads to another server. */
function queriesOf(pool: PostgresPool): Query {
  return async (text, values, signal) => {
    const connection = await openConnection(pool, signal)
    let isUsable = false
    try {
      for (;;) {
        const row = await connection.ask(text, signal, values).catch(unlessOvertaken)
        signal.throwIfAborted()
        if (row === undefined) continue
        isUsable = true
        return row
      }
    } finally {
      connection.close(isUsable)
    }
  }
}

function unlessOvertaken(error: unknown): undefined {
  if (!isOvertaken(error)) throw error
}

interface Statements {
  readonly get: string
  readonly put: string
  readonly delete: string
  readonly sweep: string
}

/** All instants are the server's own. What has expired is gone, whether its row is there or not. */
function statements(table: string): Statements {
  return {
    get: `SELECT CASE WHEN octet_length(value) <= $2 THEN value END AS value FROM ${table} WHERE key = $1 AND expires_at > now()`,
    put: `INSERT INTO ${table} AS held (key, version, value, expires_at)
      VALUES ($1, $2, $3, now() + $4::float8 * interval '1 millisecond')
      ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value, expires_at = excluded.expires_at
      WHERE held.version < excluded.version OR held.expires_at <= now() RETURNING 1 AS written`,
    delete: `DELETE FROM ${table} WHERE key = $1`,
    sweep: `DELETE FROM ${table} WHERE key IN
      (SELECT key FROM ${table} WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)`,
  }
}
