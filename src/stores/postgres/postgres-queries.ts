import { optionInvalid, StoreError } from '../../token/index.ts'
import { describe, waitFor } from '../../util/index.ts'

/** What is needed of a client of a pool of the package `pg`, to keep records. */
export interface PostgresRecordsClient {
  query(text: string, values: unknown[]): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  release(error?: Error | boolean): void
}

/** What is needed of a pool of the package `pg`, to keep records. The user has made it, listens to its errors, and ends it. */
export interface PostgresRecordsPool {
  connect(): Promise<PostgresRecordsClient>
}

/** The rows that come of one statement. */
export type Query = (text: string, values: readonly unknown[], signal: AbortSignal) => Promise<readonly Row[]>

/** One row, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>

/**
 * Statements on connections of a pool, each committed by itself. What fails is a StoreError that tells the kind of statement and the code of the failure alone: errors of
 * the client may quote what was sent.
 *
 * @throws ConfigurationError with code `option_invalid`, when it is no pool.
 */
export function queriesOf(pool: PostgresRecordsPool, subject: string): Query {
  const isPool = typeof pool === 'object' && pool !== null && 'connect' in pool && typeof pool.connect === 'function'
  if (!isPool) throw optionInvalid(subject, `a pool of the package pg, got ${describe(pool)}`)
  return async (text, values, signal) => {
    try {
      const client = await connect(pool, signal)
      return await rowsFrom(client, () => waitFor(client.query(text, [...values]), signal))
    } catch (error) {
      // Whoever waited has been told already.
      signal.throwIfAborted()
      throw new StoreError(`postgres: expected an answer to ${/^\w+/.exec(text)?.[0]}, got ${failureOf(error)}`, {
        code: 'store_unavailable',
      })
    }
  }
}

/** A pool gives what it was asked for when it has it, whether somebody still waits or not. */
async function connect(pool: PostgresRecordsPool, signal: AbortSignal): Promise<PostgresRecordsClient> {
  const asked = pool.connect()
  try {
    return await waitFor(asked, signal)
  } catch (error) {
    if (signal.aborted) asked.then((client) => client.release()).catch(() => {})
    throw error
  }
}

async function rowsFrom(client: PostgresRecordsClient, ask: () => Promise<unknown>): Promise<readonly Row[]> {
  // Without a listener the error of a connection would end the process; its query fails as well.
  const onError = (): void => {}
  client.on('error', onError)
  let isUsable = false
  try {
    const { rows } = Object(await ask())
    isUsable = true
    return Array.isArray(rows) ? rows : []
  } catch (error) {
    // The server has answered, and the connection is as good as before.
    isUsable = error instanceof Error && 'severity' in error && error.severity === 'ERROR'
    throw error
  } finally {
    // In this order, since somebody has to listen all the time. One that gave no answer, or broke, is ended.
    client.release(!isUsable)
    client.removeListener('error', onError)
  }
}

/** The code of an error of the server (`25006`, `42P01`) or of the connection (`ECONNREFUSED`), or its class. */
function failureOf(error: unknown): string {
  if (!(error instanceof Error)) return describe(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
