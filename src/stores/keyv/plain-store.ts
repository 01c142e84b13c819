import type { PlainStoreSettings, TokenStore } from '../../store/index.ts'
import { byteLength, sha256, waitFor } from '../../util/index.ts'
import { type KeyvCalls, MAX_TTL_MS, UNREADABLE } from './keyv-calls.ts'
import { lastWrites } from './last-writes.ts'

/** What a {@link plainStore} is made of. */
export interface PlainStoreOptions extends PlainStoreSettings {
  readonly calls: KeyvCalls
}

/** An instant stands before every value: not every adapter forgets by itself, and Keyv asks a clock that may go back. */
const ENTRY = /^(\d{1,16})=([\s\S]*)$/
const MAX_MARK_LENGTH = 17

/** Values as they are, each with its expiry. */
export function plainStore({ calls, prefix, maxValueBytes, telemetry, clock }: PlainStoreOptions): TokenStore {
  const inTurn = lastWrites(clock)
  /** Hashed, so that no adapter, collation, sanitizer or limit of 255 characters makes another key of it. */
  const nameOf = async (key: string): Promise<string> => prefix + (await sha256(key))

  async function remove(name: string, reason?: 'too_long' | 'malformed'): Promise<undefined> {
    await calls.remove(name)
    if (reason !== undefined) telemetry.note({ name: 'entry_ignored', reason })
  }
  async function read(key: string): Promise<string | undefined> {
    const name = await nameOf(key)
    const found = await calls.read(name)
    if (found === undefined || found === null) return undefined
    const text: unknown = found === UNREADABLE ? undefined : Object(found).value
    if (typeof text !== 'string') return remove(name, 'malformed')
    if (text.length > maxValueBytes + MAX_MARK_LENGTH) return remove(name, 'too_long')
    const [, expiresAt, value] = ENTRY.exec(text) ?? []
    if (value === undefined) return remove(name, 'malformed')
    if (byteLength(value) > maxValueBytes) return remove(name, 'too_long')
    return clock.now() < Number(expiresAt) ? value : undefined
  }

  return {
    get: (key, { signal } = {}) => waitFor(read(key), signal),
    set: (key, value, expiresAt) =>
      inTurn(key, async () => {
        const name = await nameOf(key)
        // An older value must not stay where the newer one has no room, or no life.
        if (byteLength(value) > maxValueBytes) return remove(name, 'too_long')
        const lifetimeMs = Math.ceil(expiresAt - clock.now())
        // To Keyv zero is for ever.
        if (lifetimeMs <= 0) return remove(name)
        const instant = Math.min(Math.ceil(expiresAt), Number.MAX_SAFE_INTEGER)
        await calls.write(name, `${instant}=${value}`, { ttlMs: Math.min(lifetimeMs, MAX_TTL_MS) })
      }),
    delete: (key) => inTurn(key, async () => remove(await nameOf(key))),
  }
}
