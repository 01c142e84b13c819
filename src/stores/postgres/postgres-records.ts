import { createHash } from 'node:crypto'
import {
  type AdaptedRecordsOptions,
  type AdaptedRecordsSettings,
  adaptedRecords,
  type RecordStore,
} from '../../store/index.ts'
import { optionInvalid } from '../../token/index.ts'
import { describe } from '../../util/index.ts'
import { plainRecords } from './plain-records.ts'
import { assertPool, type PostgresPool } from './postgres-pool.ts'

/** How {@link postgresRecords} are kept, encrypted or not. */
export interface PostgresRecordsSettings extends AdaptedRecordsSettings {
  /** The table, with its schema before it where it is not on the search path. Default `evertoken_records`. */
  readonly table?: string | undefined
}

/** What {@link postgresRecords} are told: with which keys records are encrypted, or by name that they are not. */
export type PostgresRecordsOptions = AdaptedRecordsOptions & PostgresRecordsSettings

const SUBJECT = 'postgresRecords'
const TABLE = 'evertoken_records'
/** What the server takes as it is when it is quoted, and nobody misreads. */
const NAME = /^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?$/

/**
 * Records in a table of PostgreSQL 9.5 or later, which {@link createRecordsTable} describes. One statement an operation, which compares versions and writes in
 * one step. Lifetimes are told as lengths of time and reckoned by the server's clock. Rows that have expired are deleted a thousand at a time, with every hundredth write.
 *
 * Records are encrypted and bound to prefix and key, as with `encryptedRecords`.
 *
 * Its methods throw StoreError with code `store_unavailable` or `store_timeout`.
 *
 * @throws ConfigurationError with code `option_invalid`, `option_unknown` or `encryption_key_invalid`; also where neither
 * `encryption` nor `plaintext: true` is given, or both.
 */
export function postgresRecords(pool: PostgresPool, options: PostgresRecordsOptions): RecordStore {
  return adaptedRecords(options, {
    subject: SUBJECT,
    options: ['table'],
    createPlain(settings) {
      assertPool(SUBJECT, pool)
      return plainRecords({ ...settings, pool, table: quoted(SUBJECT, options.table) })
    },
  })
}

/**
 * The statements that make the table of {@link postgresRecords}, for a migration. They do nothing where it is there already.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function createRecordsTable(table?: string): string {
  const name = quoted('createRecordsTable', table)
  return `CREATE TABLE IF NOT EXISTS ${name} (
  key text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  value bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS "${indexOf(table)}" ON ${name} (expires_at);
`
}

/** The server cuts names after 63 bytes. Of two tables whose names begin alike each has an index of its own. */
function indexOf(table: string = TABLE): string {
  // Without its schema: an index is in that of its table.
  const name = table.slice(table.indexOf('.') + 1)
  if (name.length <= 50) return `${name}_expires_at`
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return `${name.slice(0, 41)}_${hash}_expires_at`
}

function quoted(subject: string, table: unknown = TABLE): string {
  if (typeof table !== 'string' || !NAME.test(table)) {
    throw optionInvalid(subject, `table to be a name of letters, digits and "_", got ${describe(table)}`)
  }
  return table
    .split('.')
    .map((part) => `"${part}"`)
    .join('.')
}
