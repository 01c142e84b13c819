import type { PlainStoreSettings, TokenStore } from '../../store/index.ts'
import { byteLength, waitFor } from '../../util/index.ts'
import { isFailure, type SendCommand } from './redis-client.ts'

/** What a {@link plainStore} is made of. */
export interface PlainStoreOptions extends PlainStoreSettings {
  readonly send: SendCommand
}

/** Stands before every value: in Redis, what is not there and an empty text read the same. */
const MARK = '='

/** Values as they are, under keys as they are. */
export function plainStore({ send, maxValueBytes, telemetry, clock }: PlainStoreOptions): TokenStore {
  const maxBytes = maxValueBytes + MARK.length

  async function remove(key: string, reason?: 'too_long' | 'malformed'): Promise<undefined> {
    if (reason !== undefined) telemetry.note({ name: 'entry_ignored', reason })
    await send(['DEL', key], key)
  }
  async function read(key: string): Promise<string | undefined> {
    // One byte more than may be: whatever has that many is too large, and what follows stays on the server.
    const found = await send(['GETRANGE', key, '0', String(maxBytes)], key).catch(unlessOfAnotherType)
    if (found === '') return undefined
    if (typeof found !== 'string' || !found.startsWith(MARK)) return remove(key, 'malformed')
    if (byteLength(found) > maxBytes) return remove(key, 'too_long')
    return found.slice(MARK.length)
  }

  return {
    get: (key, { signal } = {}) => waitFor(read(key), signal),
    async set(key, value, expiresAt) {
      // An older value must not stay where the newer one has no room, or no life.
      if (byteLength(value) > maxValueBytes) return remove(key, 'too_long')
      const lifetimeMs = Math.ceil(expiresAt - clock.now())
      if (lifetimeMs <= 0) return remove(key)
      await send(['SET', key, MARK + value, ...expiry(lifetimeMs)], key)
    },
    delete: (key) => remove(key),
  }
}

/** A length of time, never an instant: that would be one of the server's clock. */
function expiry(ms: number): string[] {
  return Number.isSafeInteger(ms) ? ['PX', String(ms)] : []
}

/** A list, a hash or the like under our name is nothing that could be read. */
function unlessOfAnotherType(error: unknown): undefined {
  if (isFailure(error, 'WRONGTYPE')) return undefined
  throw error
}
