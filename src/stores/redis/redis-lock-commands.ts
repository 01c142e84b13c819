import type { LockCommands } from '../../store/index.ts'
import type { SendCommand } from './redis-client.ts'

/** What stands in place of an owner for the rest of a lease, so that whoever comes next hears that somebody was there. */
const FREE = "''"
/** 2 where nobody was there before; also takes a lock that is ours by a command whose answer got lost and which was sent again. */
const ACQUIRE = `
local held = redis.call('get', KEYS[1])
if held and held ~= ${FREE} and held ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
return held and 1 or 2`
const RENEW =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
/** A server without room takes no mark, and is rid of the lock all the same. */
const RELEASE = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local marked = redis.pcall('set', KEYS[1], ${FREE}, 'PX', ARGV[2])
if marked.err then redis.call('del', KEYS[1]) end
return 1`

/** Compares the owner and acts in one step, on the server. */
export function redisLockCommands(send: SendCommand, key: string, { owner, leaseMs }: LockOwner): LockCommands {
  const lease = String(Math.ceil(leaseMs))
  const run = async (script: string): Promise<number> =>
    Number(await send(['EVAL', script, '1', key, owner, lease], key))
  return {
    async acquire() {
      const answer = await run(ACQUIRE)
      return answer === 2 ? 'first' : answer === 1 ? 'next' : undefined
    },
    renew: async () => (await run(RENEW)) === 1,
    release: async () => (await run(RELEASE)) === 1,
  }
}

/** Who holds a lock, and for how long without a renewal. */
export interface LockOwner {
  readonly owner: string
  readonly leaseMs: number
}
