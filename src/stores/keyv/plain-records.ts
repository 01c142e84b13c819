import { localLock, type PlainRecords, type PlainStoreSettings, type WithLock } from '../../store/index.ts'
import type { EntryFault } from '../../telemetry/index.ts'
import { StoreError } from '../../token/index.ts'
import { byteLength, sha256, waitFor } from '../../util/index.ts'
import { type KeyvCalls, MAX_TTL_MS, UNREADABLE } from './keyv-calls.ts'

/** What {@link plainRecords} are made of. */
export interface PlainRecordsOptions extends PlainStoreSettings {
  readonly calls: KeyvCalls
  /** Held while versions are compared and what comes of it is written: Keyv cannot do both in one step. */
  readonly lock: WithLock
}

/** Version and instant stand before every value: not every adapter forgets by itself, and Keyv asks a clock that may go back. */
const RECORD = /^(\d{1,16})\.(\d{1,16})=([\s\S]*)$/

/** What lies there; without a value where it cannot be read. */
interface Found {
  readonly version: number
  readonly value?: string
  readonly fault?: EntryFault
}

/**
 * Keyv deletes what it finds over, whatever has been written there meanwhile. So to Keyv it is over a day later: until then it is we who find it over, and its place is taken
 * by comparison.
 */
const MORE_MS = 24 * 60 * 60 * 1000

/** Lower than any version. */
const NO_VERSION = -1

/** Records as they are, each with its version and expiry. */
export function plainRecords({
  calls,
  prefix,
  maxValueBytes,
  telemetry,
  clock,
  lock,
}: PlainRecordsOptions): PlainRecords {
  /** Hashed, so that no adapter, collation, sanitizer or limit of 255 characters makes another key of it. */
  const nameOf = async (key: string): Promise<string> => prefix + (await sha256(key))

  async function find(name: string, assertWanted: () => void): Promise<Found | undefined> {
    const found = await calls.read(name, assertWanted)
    if (found === undefined || found === null) return undefined
    const text: unknown = found === UNREADABLE ? undefined : Object(found).value
    const [, version, expiresAt, value] = RECORD.exec(typeof text === 'string' ? text : '') ?? []
    if (value === undefined) return { version: NO_VERSION, fault: 'malformed' }
    if (clock.now() >= Number(expiresAt)) return undefined
    const isTooLong = byteLength(value) > maxValueBytes
    return { version: Number(version), ...(isTooLong ? { fault: 'too_long' } : { value }) }
  }

  const inTurn = turnsOf(lock, nameOf)

  return {
    async get(key, signal) {
      const found = await waitFor(
        nameOf(key).then((name) => find(name, () => signal.throwIfAborted())),
        signal,
      )
      // It stays: what is here may be all that there is, and a later write replaces it.
      if (found?.fault !== undefined) telemetry.note({ name: 'entry_ignored', reason: found.fault })
      return found?.value
    },
    async put(key, value, { version, lifetimeMs, signal }) {
      return inTurn(key, signal, async (name, assertHeld) => {
        const found = await find(name, assertHeld)
        if (found !== undefined && found.version >= version) return false
        assertHeld()
        const instant = Math.min(Math.ceil(clock.now() + lifetimeMs), Number.MAX_SAFE_INTEGER)
        const ttlMs = Math.min(lifetimeMs + MORE_MS, MAX_TTL_MS)
        if (lifetimeMs <= 0) await calls.remove(name, assertHeld)
        else await calls.write(name, `${version}.${instant}=${value}`, { ttlMs, assertWanted: assertHeld })
        return true
      })
    },
    async delete(key, signal) {
      await inTurn(key, signal, async (name, assertHeld) => {
        assertHeld()
        await calls.remove(name, assertHeld)
      })
    },
  }
}

type Task<T> = (name: string, assertHeld: () => void) => Promise<T>
type InTurn = <T>(key: string, signal: AbortSignal, task: Task<T>) => Promise<T>

/** Tasks that can tell whether the lock is still held, as far as anybody knows. Those of this process and one key run in the order in which they came. */
function turnsOf(lock: WithLock, nameOf: (key: string) => Promise<string>): InTurn {
  const inOrder = localLock()

  async function locked<T>(name: string, signal: AbortSignal, task: Task<T>): Promise<T> {
    let isLost = false
    const onLost = (): void => {
      isLost = true
    }
    const assertHeld = (): void => {
      // Whoever has asked was told that it did not happen.
      signal.throwIfAborted()
      if (!isLost) return
      throw new StoreError('keyv: expected to hold the lock until the write, got it lost', { code: 'lock_unavailable' })
    }
    // The lock is kept for as long as Keyv takes, even if nobody waits for it any more: what comes late must not meet another write.
    return lock(`record:${name}`, () => task(name, assertHeld), { signal, onLost })
  }
  return (key, signal, task) => inOrder(key, async () => locked(await nameOf(key), signal, task), { signal })
}
