import type { PlainRecords, PlainStoreSettings } from '../../store/index.ts'
import { byteLength, randomId, waitFor } from '../../util/index.ts'
import { isFailure, type SendCommand } from './redis-client.ts'

/** What {@link plainRecords} are made of. */
export interface PlainRecordsOptions extends PlainStoreSettings {
  readonly send: SendCommand
}

/** Before every value stand its version and a name for the write of it. */
const HEAD = /^\d{1,16}\.[\w-]{24}=/
const MAX_HEAD_LENGTH = 16 + 1 + 24 + 1
/**
 * Whatever has no version there, a list say, was not written here, and is replaced. A write that is there already is one whose answer got lost, and which the
 * client has sent again.
 */
const PUT = `
local held = redis.pcall('getrange', KEYS[1], 0, ${MAX_HEAD_LENGTH - 1})
if type(held) == 'string' then
  local version, write = string.match(held, '^(%d+)%.([%w_-]+)=')
  if version and tonumber(version) >= tonumber(ARGV[1]) then return write == ARGV[2] and 1 or 0 end
end
if ARGV[4] == '0' then redis.call('del', KEYS[1])
elseif ARGV[4] == '' then redis.call('set', KEYS[1], ARGV[3])
else redis.call('set', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return 1`

/** Records as they are, under keys as they are. */
export function plainRecords({ send, maxValueBytes, telemetry }: PlainRecordsOptions): PlainRecords {
  const maxBytes = maxValueBytes + MAX_HEAD_LENGTH

  async function read(key: string): Promise<string | undefined> {
    // One byte more than may be: whatever has that many is too large, and what follows stays on the server.
    const found = await send(['GETRANGE', key, '0', String(maxBytes)], key).catch(unlessOfAnotherType)
    if (found === '') return undefined
    const text = typeof found === 'string' ? found : ''
    const head = HEAD.exec(text)?.[0].length
    if (head !== undefined && byteLength(text) - head <= maxValueBytes) return text.slice(head)
    // It stays: what is here may be all that there is, and the next write replaces what is none of ours.
    telemetry.note({ name: 'entry_ignored', reason: head === undefined ? 'malformed' : 'too_long' })
    return undefined
  }

  return {
    get: (key, signal) => waitFor(read(key), signal),
    async put(key, value, { version, lifetimeMs, signal }) {
      const write = randomId()
      const text = `${version}.${write}=${value}`
      const args = [String(version), write, text, expiry(lifetimeMs)]
      return Number(await waitFor(send(['EVAL', PUT, '1', key, ...args], key), signal)) === 1
    },
    delete: async (key, signal) => void (await waitFor(send(['DEL', key], key), signal)),
  }
}

/** A length of time, never an instant: that would be one of the server's clock. Nothing for ever, zero for what has expired. */
function expiry(ms: number): string {
  return Number.isSafeInteger(ms) ? String(Math.max(ms, 0)) : ms > 0 ? '' : '0'
}

/** A list, a hash or the like under our name is nothing that could be read. */
function unlessOfAnotherType(error: unknown): undefined {
  if (isFailure(error, 'WRONGTYPE')) return undefined
  throw error
}
