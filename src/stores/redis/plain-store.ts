import type { TokenStore } from '../../store/index.ts'
import { StoreError } from '../../token/index.ts'
import { type Clock, waitFor } from '../../util/index.ts'
import { isFailure, type SendCommand } from './redis-client.ts'

/** What a {@link plainStore} is made of. */
export interface PlainStoreOptions {
  readonly send: SendCommand
  readonly prefix: string
  readonly maxValueBytes: number
  readonly clock: Clock
}

/** Stands before every value: in Redis, what is not there and an empty text read the same. */
const MARK = '='
const encoder = new TextEncoder()

/** Values under a prefix, as they are. */
export function plainStore({ send, prefix, maxValueBytes, clock }: PlainStoreOptions): TokenStore {
  // With the mark, and one byte more than may be: whatever fills it is too large, and what follows stays on the server.
  const maxBytes = maxValueBytes + MARK.length
  const read = async (key: string): Promise<string | undefined> => {
    const found = await send(['GETRANGE', key, '0', String(maxBytes)], key).catch(unlessOfAnotherType)
    if (found === '') return undefined
    if (typeof found === 'string' && found.startsWith(MARK) && bytesOf(found) <= maxBytes) return found.slice(1)
    await send(['DEL', key], key)
    return undefined
  }
  return {
    get: (key, { signal } = {}) => waitFor(read(prefix + key), signal),
    async set(key, value, expiresAt) {
      const name = prefix + key
      if (bytesOf(value) > maxValueBytes) throw tooLarge(maxValueBytes)
      const lifetimeMs = Math.ceil(expiresAt - clock.now())
      if (lifetimeMs > 0) await send(['SET', name, MARK + value, ...lifetime(lifetimeMs)], name)
      // Nothing may be left of an older value either.
      else await send(['DEL', name], name)
    },
    async delete(key) {
      await send(['DEL', prefix + key], prefix + key)
    },
  }
}

/** Never an instant: it would be one of the server's clock. */
function lifetime(ms: number): string[] {
  return Number.isSafeInteger(ms) ? ['PX', String(ms)] : []
}

function bytesOf(text: string): number {
  return encoder.encode(text).length
}

/** A list, a hash or the like under our name is nothing that could be read. */
function unlessOfAnotherType(error: unknown): undefined {
  if (isFailure(error, 'WRONGTYPE')) return undefined
  throw error
}

function tooLarge(maxValueBytes: number): StoreError {
  return new StoreError(`redisStore: expected a value of at most ${maxValueBytes} bytes, got a larger one`, {
    code: 'store_value_too_large',
  })
}
