import { optionInvalid, StoreError } from '../../token/index.ts'
import { createGate, describe, type Gate, waitFor } from '../../util/index.ts'

/** What is needed of a client of a pool of the package `pg`. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  release(error?: Error | boolean): void
}

/** What is needed of a pool of the package `pg`. The user has made it, listens to its errors, and ends it. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  readonly options: { readonly max?: number | undefined }
}

/** One connection at a time, out of those that are not left to the user's own queries. */
export interface Connections {
  /** Waits until fewer are in use than may be; whoever has entered opens one, once. */
  readonly enter: (deadline: AbortSignal) => Promise<void>
  open(deadline: AbortSignal): Promise<Connection>
}

/** A connection that is nobody else's until it is closed. */
export interface Connection {
  ask(text: string, deadline: AbortSignal, values?: readonly unknown[]): Promise<Row>
  /** Aborts when the connection breaks. */
  readonly broken: AbortSignal
  /** Gives it back to the pool, or ends it where it cannot be used again. */
  close(isUsable: boolean): void
}

/** The first row of what came of one statement or, of several, of the last; without any column where there is none. */
export type Row = Readonly<Record<string, unknown>>

/** What `pg` takes where the user has said nothing. */
const USUAL_MAX = 10
/** All locks of one pool count together. */
const gates = new WeakMap<PostgresPool, Gate>()

/**
 * Uses half of a pool at the most, so that a task which holds a lock always finds a connection for queries of its own.
 *
 * @throws ConfigurationError with code `option_invalid`, when it is no pool or has one connection alone.
 */
export function connectionsOf(pool: PostgresPool, subject: string): Connections {
  assertPool(subject, pool)
  const max = Number(Object(pool.options).max ?? USUAL_MAX)
  if (!(max >= 2)) throw optionInvalid(subject, `a pool of at least two connections, got max ${describe(max)}`)
  const gate = gates.get(pool) ?? createGate(Math.floor(max / 2))
  gates.set(pool, gate)
  return {
    async enter(deadline) {
      if (!gate.tryEnter()) await gate.enter(deadline)
    },
    async open(deadline) {
      try {
        return await openConnection(pool, deadline, () => gate.leave())
      } catch (error) {
        gate.leave()
        throw error
      }
    },
  }
}

/**
 * Refuses what is no pool.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertPool(subject: string, pool: unknown): void {
  const isPool = typeof pool === 'object' && pool !== null && 'connect' in pool && typeof pool.connect === 'function'
  if (!isPool) throw optionInvalid(subject, `a pool of the package pg, got ${describe(pool)}`)
}

/**
 * A connection of the pool, however many are in use.
 *
 * @throws StoreError with code `store_unavailable`.
 */
export async function openConnection(
  pool: PostgresPool,
  deadline: AbortSignal,
  onClosed: () => void = () => {},
): Promise<Connection> {
  try {
    return connectionOf(await connect(pool, deadline), onClosed)
  } catch (error) {
    throw failure('a connection', error)
  }
}

/** A pool gives what it was asked for when it has it, whether somebody still waits or not. */
async function connect(pool: PostgresPool, deadline: AbortSignal): Promise<PostgresClient> {
  const asked = pool.connect()
  try {
    return await waitFor(asked, deadline)
  } catch (error) {
    if (deadline.aborted) asked.then((client) => client.release()).catch(() => {})
    throw error
  }
}

function connectionOf(client: PostgresClient, onClosed: () => void): Connection {
  const breaking = new AbortController()
  // Without a listener the error of a connection would end the process.
  const onError = (error: Error): void => breaking.abort(error)
  client.on('error', onError)
  return {
    broken: breaking.signal,
    async ask(text, deadline, values) {
      try {
        // Several statements at once are taken only where no list of values comes with them.
        const asked = values === undefined ? client.query(text) : client.query(text, [...values])
        return rowFrom(await waitFor(asked, deadline))
      } catch (error) {
        throw failure(`an answer to ${/^\w+/.exec(text)?.[0]}`, error)
      }
    },
    close(isUsable) {
      // In this order, since somebody has to listen all the time: the pool listens from now on.
      client.release(!isUsable || breaking.signal.aborted)
      client.removeListener('error', onError)
      onClosed()
    },
  }
}

function rowFrom(reply: unknown): Row {
  const { rows } = Object(Array.isArray(reply) ? reply.at(-1) : reply)
  return Object(Array.isArray(rows) ? rows[0] : undefined)
}

/** `serialization_failure`: somebody else was quicker, and what was asked for has not taken place. Only where transactions are stricter than by default. */
const SERIALIZATION_FAILURE = '40001'
const overtaken = /* @__PURE__ */ new WeakSet<object>()

/** Whether a statement may be sent again for that reason. */
export function isOvertaken(error: unknown): boolean {
  return overtaken.has(Object(error))
}

/** Tells what kind of failure it was and nothing more: errors of the client may quote what was sent, and to whom. */
function failure(expected: string, error: unknown): StoreError {
  const { code, name } = Object(error)
  const came = error instanceof StoreError ? error.message : typeof code === 'string' ? code : String(name)
  const told = new StoreError(`postgres: expected ${expected}, got ${came}`, { code: 'store_unavailable' })
  if (code === SERIALIZATION_FAILURE) overtaken.add(told)
  return told
}
